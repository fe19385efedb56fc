import { Links } from '../connection/links';
import type { IGroup } from '../model/groups';
import { PanelModel } from '../model/panel';
import { FEW, type IRow, opens, rows } from '../model/tree';
import { FakeKernel, model, settled } from './fake';

const group = (name: string): IGroup => ({
  id: `id of ${name}`,
  name,
  size: 8,
  blocks: 1,
  members: 1,
  reason: '',
  spark: [],
  after: 8
});
const NAMES = [
  'stem',
  'body.0.block.conv1',
  'body.0.block.conv2',
  'body.1.conv1',
  'head.fc',
  'body.0.block.deep.conv'
];
const drawn = (found: readonly IRow[]) =>
  found.map(({ depth, label, module }) =>
    [depth, label, ...(module ? [module.groups.length] : [])].join(' ')
  );

describe('a tree of groups', () => {
  const groups = NAMES.map(group);

  it('has a line for each module with several groups, and joins single ones', () => {
    expect(drawn(rows(groups, () => true))).toEqual([
      '0 stem',
      '0 body 4',
      '1 0.block 3',
      '2 conv1',
      '2 conv2',
      '2 deep.conv',
      '1 1.conv1',
      '0 head.fc'
    ]);
  });

  it('hides what is in closed modules', () => {
    expect(drawn(rows(groups, () => false))).toEqual([
      '0 stem',
      '0 body 4',
      '0 head.fc'
    ]);
    expect(drawn(rows(groups, path => path !== 'body.0.block'))).toEqual([
      '0 stem',
      '0 body 4',
      '1 0.block 3',
      '1 1.conv1',
      '0 head.fc'
    ]);
  });

  it('shows every group once if all is open', () => {
    const same = [...groups, { ...group('stem'), id: 'another' }];
    const ids = rows(same, () => true).flatMap(row => row.group?.id ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.sort()).toEqual(same.map(({ id }) => id).sort());
    expect(rows([], () => true)).toEqual([]);
  });

  it('is open at first where groups are few, else only at its trunk', () => {
    const all = Array(FEW + 2);
    expect(opens([1], Array(FEW))).toBe(true);
    expect(opens(all.slice(1), all)).toBe(true);
    expect(opens([1, 2], all)).toBe(false);
  });
});

it('folds as it is told, until the filter is set', async () => {
  const kernel = new FakeKernel();
  const panel = new PanelModel(new Links('0.1.0'));
  const put = () => Promise.resolve();
  panel.follow({ kernel: kernel.connection, record: put, run: put });
  await settled();
  const name = Array.from({ length: 90 }, (_, i) => `part${i % 3}.conv${i}`);
  const many = (value: number) => name.map(() => value);
  const groups = {
    id: name,
    name,
    size: many(8),
    blocks: many(1),
    members: many(1),
    why: many(-1),
    reasons: []
  };
  kernel.tell({ models: [model('net', { groups })] });
  const { network } = panel;
  expect(network?.rows).toHaveLength(3);
  expect(network?.rows).toBe(network?.rows);
  network?.fold('part1', true);
  expect(network?.rows).toHaveLength(33);
  network!.filter = 'conv1';
  expect(network?.rows.map(({ label }) => label)).toContain('conv17');
  network?.fold('part1', false);
  expect(network?.rows.map(({ label }) => label)).not.toContain('conv19');
  network!.filter = '';
  expect(network?.rows).toHaveLength(3);
  panel.dispose();
});
