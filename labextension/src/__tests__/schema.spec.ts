import Ajv from 'ajv/dist/2020';
import { readFileSync } from 'fs';
import { join } from 'path';

import { KernelLink } from '../connection/link';
import { FORM, options, target } from '../model/form';
import { VERSION } from '../protocol/guards';
import { FakeKernel, settled, snapshot } from './fake';

const schema = JSON.parse(
  readFileSync(
    join(__dirname, '../../../spa_kernel/panel/protocol.schema.json'),
    'utf8'
  )
);
const ajv = new Ajv({ strict: false });
ajv.addSchema(schema, 'panel');

function fits(message: unknown, side: 'Question' | 'Answer'): boolean {
  return Boolean(ajv.validate(`panel#/$defs/${side}`, message));
}

it('what is said on both sides is in the schema', async () => {
  const kernel = new FakeKernel();
  const asked: unknown[] = [];
  const said: unknown[] = [];
  const { answer } = kernel;
  kernel.answer = question => {
    const reply = answer(question);
    asked.push(question);
    said.push(reply);
    return reply;
  };
  const link = new KernelLink(kernel.connection, '0.1.0');
  await settled();
  const { criteria } = snapshot();
  const form = {
    ...FORM,
    criterion: 'taylor',
    scope: 'isomorphic' as const,
    exclude: 'head',
    roundTo: '8',
    steps: '2',
    data: 'batches',
    loss: 'loss'
  };
  await link.ask({ type: 'snapshot', criterion: 'l1' });
  await link.ask({ type: 'candidates' });
  await link.ask({ type: 'explain', model: 'net', layer: '0' });
  for (const each of [
    FORM,
    form,
    { ...FORM, kind: 'ratio' as const, value: 0.5 }
  ]) {
    await link.ask({
      type: 'predict',
      model: 'net',
      target: target(each),
      options: options(each, criteria)
    });
  }
  link.dispose();
  expect(asked).toHaveLength(7);
  asked.forEach(message => {
    expect([message, fits(message, 'Question')]).toEqual([message, true]);
  });
  said.forEach(message => {
    expect([message, fits(message, 'Answer')]).toEqual([message, true]);
  });
  expect(fits({ type: 'candidates', id: -1 }, 'Question')).toBe(false);
});

it('both sides speak the same version', () => {
  expect(schema.$defs.Welcome.properties.version.const).toBe(VERSION);
});
