// Writes into the bundle what it was made from, so that a stale bundle can be told from a fresh
// one without building again: the SHA-256 of every source, by its path.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const sources = ['schema', 'src', 'style']
  .flatMap(folder =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath ?? entry.path, entry.name))
  )
  .concat(['package.json', 'tsconfig.json', 'yarn.lock'])
  .map(path => path.replaceAll('\\', '/'))
  .filter(path => !path.startsWith('src/__tests__/'))
  .sort();
const sums = sources.map(path => [
  path,
  createHash('sha256').update(readFileSync(path)).digest('hex')
]);
const bundle = '../spa_kernel/labextension';
writeFileSync(
  `${bundle}/sources.json`,
  JSON.stringify(Object.fromEntries(sums), null, 1)
);
// A copy of package.json that the builder leaves behind.
rmSync(`${bundle}/schemas/spa-kernel/package.json.orig`, { force: true });
