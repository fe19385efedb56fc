// Makes src/protocol/messages.ts from the description that Python reads too;
// with --check it only says whether the file is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { compileFromFile } from 'json-schema-to-typescript';

const schema = '../spa_kernel/panel/protocol.schema.json';
const target = 'src/protocol/messages.ts';
const made = await compileFromFile(schema, {
  additionalProperties: false,
  bannerComment:
    '// Made by `jlpm protocol` from spa_kernel/panel/protocol.schema.json; do not edit.',
  style: { singleQuote: true, trailingComma: 'none', arrowParens: 'avoid' },
  unreachableDefinitions: true
});
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== made) {
    console.error(`${target} does not fit ${schema}: run jlpm protocol`);
    process.exit(1);
  }
} else {
  writeFileSync(target, made);
}
