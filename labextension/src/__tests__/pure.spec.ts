import { bytes, measured, short, times } from '../format';
import { bounds, fault, FORM, type IForm, options } from '../model/form';
import { chosen, lines } from '../model/groups';
import * as commands from '../model/lines';
import { answer } from '../protocol/guards';
import { model, snapshot } from './fake';

describe('numbers', () => {
  it.each([
    [7, '7'],
    [999, '999'],
    [25557032, '25.6 M'],
    [999999, '1.00 M']
  ])('%d is %s', (value, text) => {
    expect(short(value)).toBe(text);
  });

  it('are factors, bytes and measures', () => {
    expect(times(3992, 2000)).toBe('1.99×');
    expect(times(1, 0)).toBe('∞');
    expect([bytes(8192), bytes(12)]).toEqual(['8.19 kB', '12 B']);
    expect(measured(0.92345678)).toBe('0.9235');
  });
});

describe('lines', () => {
  it.each([
    ['', '%spa_analyze net'],
    ['1,3,8,8', '%spa_analyze net --shape 1,3,8,8'],
    ['(1, 3, 8, 8)', '%spa_analyze net --shape 1,3,8,8'],
    ['1x3x8x8', '%spa_analyze net --shape 1x3x8x8'],
    ['1,8; 1,9', '%spa_analyze net --shape 1,8 --shape 1,9'],
    ['x[:1]', '%spa_analyze net x[:1]'],
    ['dict(a=x, b=y)', '%spa_analyze net "dict(a=x, b=y)"'],
    ['d["x"]', `%spa_analyze net 'd["x"]'`]
  ])('analyse with %p', (example, line) => {
    expect(commands.analyse('net', example)).toBe(line);
  });

  it.each([
    [2, 0, '%spa_undo net 2'],
    [1, 0, '%spa_undo net'],
    [0, 3, '%spa_redo net 3'],
    [1, 1, '']
  ])('go from step %d to %d', (from, to, line) => {
    expect(commands.jump('net', from, to)).toBe(line);
  });

  it('name a file', () => {
    expect(commands.fileFor('trainer.net')).toBe('trainer_net.onnx');
  });

  it('cannot hold everything', () => {
    expect(commands.isWord('x[:1]')).toBe(true);
    expect(commands.isWord(`'"`)).toBe(false);
    expect(commands.isWord('a\nb')).toBe(false);
  });
});

describe('a form', () => {
  const { criteria } = snapshot();
  const form = (fields: Partial<IForm>): IForm => ({ ...FORM, ...fields });

  it('leaves defaults out', () => {
    expect(options(FORM, criteria)).toEqual({ criterion: 'l1' });
  });

  it('becomes options', () => {
    const full = form({
      criterion: 'taylor',
      scope: 'local',
      exclude: ' head, layer4* ,',
      roundTo: '8',
      steps: '3',
      data: ' loader ',
      loss: 'F.cross_entropy'
    });
    expect(options(full, criteria)).toEqual({
      criterion: 'taylor',
      scope: 'local',
      exclude: ['head', 'layer4*'],
      round_to: 8,
      steps: 3,
      data: 'loader',
      loss: 'F.cross_entropy'
    });
    expect(
      options({ ...full, criterion: 'obspa' }, criteria)
    ).not.toHaveProperty('loss');
    expect(options({ ...full, criterion: 'l1' }, undefined)).not.toHaveProperty(
      'data'
    );
  });

  it.each<[Partial<IForm>, string | null]>([
    [{}, null],
    [{ value: 1 }, 'value'],
    [{ value: NaN }, 'value'],
    [{ kind: 'ratio', value: 0.5 }, null],
    [{ kind: 'ratio', value: 1 }, 'value'],
    [{ roundTo: '0' }, 'roundTo'],
    [{ steps: 'two' }, 'steps'],
    [{ exclude: 'a b' }, 'exclude'],
    [{ criterion: 'taylor', loss: 'loss' }, 'data'],
    [{ criterion: 'taylor', data: 'batches' }, 'loss'],
    [{ criterion: 'taylor', data: 'batches', loss: 'loss' }, null],
    [{ criterion: 'obspa' }, null],
    [{ criterion: 'obspa', data: `d['a']["b"]` }, 'data']
  ])('with %p is wrong in %p', (fields, wrong) => {
    expect(fault(form(fields), criteria)).toBe(wrong);
  });

  it('has sliders that start at something sensible', () => {
    for (const kind of ['flops', 'ratio'] as const) {
      const { start } = bounds(kind);
      expect(fault(form({ kind, value: start }), criteria)).toBeNull();
    }
  });
});

describe('groups', () => {
  const { groups } = model();
  const all = lines(
    { ...groups, spark: ['09', ''], criterion: 'l1' },
    { id: ['g0'], before: [8], after: [3] }
  );

  it('come from columns', () => {
    expect(all.map(({ after, reason }) => [after, reason])).toEqual([
      [3, ''],
      [10, 'It is an output.']
    ]);
    expect(all[0].spark).toEqual([0, 1]);
  });

  it.each([
    ['', 'all', 2],
    ['G1 OUTPUT', 'all', 1],
    ['', 'prunable', 1],
    ['', 'frozen', 1],
    ['', 'changed', 1],
    ['nowhere', 'all', 0]
  ] as const)('filtered by %p and %p', (filter, show, count) => {
    expect(chosen(all, filter, show)).toHaveLength(count);
  });
});

it.each([null, 3, 'hello', {}, { type: 'hello' }, { type: 'x', id: 1 }])(
  '%p is no message',
  data => {
    expect(answer(data)).toBeNull();
  }
);
