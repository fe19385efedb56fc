import { Links } from '../connection/links';
import { type Action, blocked, line } from '../model/actions';
import { type INotebook, PanelModel } from '../model/panel';
import type { Answer, Model } from '../protocol/messages';
import { FakeKernel, model, prediction, settled } from './fake';

const PATIENCE = 5;
const SOON = 40;

let kernel: FakeKernel;
let panel: PanelModel;
let recorded: string[];

function notebook(of: FakeKernel): INotebook {
  const put = (text: string) => {
    recorded.push(text);
    return Promise.resolve();
  };
  return { kernel: of.connection, record: put, run: put };
}

/** Follow a kernel that holds these networks. */
async function followed(models: Model[] = [model()]): Promise<void> {
  panel.follow(notebook(kernel));
  await settled();
  kernel.tell({ models });
  await settled(SOON);
}

beforeEach(() => {
  recorded = [];
  kernel = new FakeKernel();
  panel = new PanelModel(new Links('0.1.0'), PATIENCE);
  panel.isWatched = true;
});
afterEach(() => panel.dispose());

const pruned = (): Partial<Model> => ({
  revision: 2,
  flops: [1000, 500],
  history: {
    label: ['start', 'half', 'third'],
    flops: [1000, 500, 300],
    params: [100, 60, 40],
    seconds: [0, 1, 1],
    values: [{}, {}, {}],
    position: 1,
    undo: { steps: 1, reason: '' },
    redo: { steps: 1, reason: '' }
  }
});

describe('the panel', () => {
  it('chooses a network, and predicts', async () => {
    await followed();
    expect(panel.names).toEqual(['net']);
    expect(panel.network?.line).toBe('%spa_prune net --flops 2');
    expect(panel.network?.groups[0].after).toBe(4);
    expect(panel.network?.groups[1].reason).toBe('It is an output.');
  });

  it('asks nothing while nobody looks', async () => {
    panel.isWatched = false;
    await followed();
    expect(kernel.comm.asked.map(({ type }) => type)).toEqual(['hello']);
    panel.isWatched = true;
    await settled(SOON);
    expect(kernel.comm.asked.map(({ type }) => type).sort()).toEqual([
      'hello',
      'predict',
      'snapshot'
    ]);
  });

  it('asks for sparks once, with a criterion that needs weights only', async () => {
    await followed();
    panel.network?.set({ criterion: 'taylor' });
    await settled(SOON);
    const asked = kernel.comm.asked.filter(({ type }) => type === 'snapshot');
    expect(asked).toEqual([expect.objectContaining({ criterion: 'l1' })]);
  });

  it('predicts once for many moves of a slider', async () => {
    await followed();
    kernel.comm.asked.length = 0;
    [2.1, 2.2, 2.3].forEach(value => panel.network?.set({ value }));
    expect(panel.network?.foretold.state).toBe('waiting');
    expect(blocked(panel, 'prune')).toEqual({ code: 'waiting' });
    await settled(SOON);
    expect(kernel.comm.asked).toEqual([
      expect.objectContaining({ target: { kind: 'flops', value: 2.3 } })
    ]);
  });

  it('does not take the answer to an earlier question', async () => {
    await followed();
    kernel.answer = () => null;
    panel.network?.set({ value: 3 });
    await settled(SOON);
    const { id } = kernel.comm.asked[kernel.comm.asked.length - 1];
    panel.network?.set({ value: 4 });
    kernel.comm.say(prediction(id));
    await settled(SOON);
    expect(panel.network?.foretold.state).toBe('waiting');
    expect(kernel.comm.asked[kernel.comm.asked.length - 1]).toMatchObject({
      target: { value: 4 }
    });
  });

  it('asks again when the kernel had no time', async () => {
    let isBusy = true;
    const answer = kernel.answer;
    kernel.answer = question =>
      question.type === 'predict' && isBusy
        ? { type: 'error', id: question.id, code: 'busy', reason: 'Later.' }
        : answer(question);
    await followed();
    expect(panel.network?.foretold.state).toBe('waiting');
    isBusy = false;
    kernel.tell({ revision: 2 });
    await settled(SOON);
    expect(panel.network?.foretold.state).toBe('done');
  });

  it.each([
    ['infeasible', 'refused', { code: 'told', reason: 'Too much.' }],
    ['data', 'blind', null]
  ] as const)('shows a refusal: %s', async (code, state, why) => {
    const answer = kernel.answer;
    kernel.answer = (question): Answer | null =>
      question.type === 'predict'
        ? {
            type: 'error',
            id: question.id,
            code,
            reason: 'Too much.',
            line: '%spa_prune net -c taylor'
          }
        : answer(question);
    await followed();
    expect(panel.network?.foretold.state).toBe(state);
    expect(blocked(panel, 'prune')).toEqual(why);
  });

  it('asks nothing for a form that makes no sense', async () => {
    await followed();
    panel.network?.set({ value: NaN });
    expect(panel.network?.foretold.state).toBe('none');
    expect(blocked(panel, 'prune')).toEqual({ code: 'fault' });
  });

  it('knows what can be done, and says why not', async () => {
    expect(blocked(panel, 'undo')).toEqual({ code: 'nothing' });
    expect(line(panel, 'undo')).toBe('');
    await followed();
    expect(blocked(panel, 'undo')).toEqual({
      code: 'told',
      reason: 'There is nothing to undo.'
    });
    kernel.tell({ revision: 2, models: [model('net', pruned())] });
    await settled(SOON);
    const actions: Action[] = [
      'prune',
      'dryRun',
      'undo',
      'redo',
      'reset',
      'export'
    ];
    expect(actions.map(action => blocked(panel, action))).toEqual(
      actions.map(() => null)
    );
    kernel.runs(true);
    expect(blocked(panel, 'undo')).toEqual({ code: 'busy' });
    kernel.runs(false);
    for (const action of actions) {
      await panel.act(action);
    }
    expect(recorded).toEqual([
      '%spa_prune net --flops 2',
      '%spa_prune net --flops 2 --dry-run',
      '%spa_undo net',
      '%spa_redo net',
      '%spa_reset net',
      '%spa_export net net.onnx'
    ]);
  });

  it('does one thing at a time', async () => {
    await followed([model('net', pruned())]);
    const acts = [panel.act('undo'), panel.act('undo')];
    expect(panel.isBusy).toBe(true);
    await Promise.all(acts);
    expect(recorded).toEqual(['%spa_undo net']);
  });

  it('jumps in the history', async () => {
    await followed([model('net', pruned())]);
    await panel.jump(0);
    await panel.jump(1);
    await panel.jump(2);
    kernel.runs(true);
    await panel.jump(0);
    expect(recorded).toEqual(['%spa_undo net', '%spa_redo net']);
  });

  it('wants a file to export to', async () => {
    await followed();
    for (const file of ['  ', `it's "it"`]) {
      panel.network!.file = file;
      expect(blocked(panel, 'export')).toEqual({ code: 'file' });
    }
    panel.network!.file = 'my net.onnx';
    await panel.act('export');
    expect(recorded).toEqual(['%spa_export net "my net.onnx"']);
  });

  it('lists what could be analysed where there is no network', async () => {
    await followed([]);
    expect(panel.network).toBeNull();
    const { candidates } = panel;
    expect(candidates?.isOpen).toBe(true);
    expect(candidates?.list?.[0]).toMatchObject({ name: 'net', input: true });
    candidates?.setExample('net', '1,3,8,8');
    await panel.analyse('net', candidates?.example('net') ?? '');
    expect(recorded).toEqual(['%spa_analyze net --shape 1,3,8,8']);
    kernel.tell({ revision: 2 });
    expect(panel.network?.name).toBe('net');
    expect(candidates?.isOpen).toBe(false);
  });

  it('asks for candidates again when a cell has run', async () => {
    await followed([]);
    const count = () =>
      kernel.comm.asked.filter(({ type }) => type === 'candidates').length;
    const before = count();
    kernel.runs(true);
    await panel.analyse('net', '');
    kernel.runs(false);
    expect(count()).toBe(before + 1);
    expect(recorded).toEqual([]);
  });

  it('keeps what was set for each network', async () => {
    await followed([model('a'), model('b')]);
    panel.network?.set({ value: 3 });
    panel.select('b');
    expect(panel.network?.form.value).toBe(2);
    panel.select('a');
    expect(panel.network?.form.value).toBe(3);
    kernel.tell({ revision: 2, models: [model('b')] });
    expect(panel.network?.name).toBe('b');
  });

  it('goes from one kernel to another and back', async () => {
    await followed();
    panel.network?.set({ value: 3 });
    const [first, second] = [kernel, new FakeKernel('two')];
    kernel = second;
    await followed([model('other')]);
    expect(panel.names).toEqual(['other']);
    panel.follow(notebook(first));
    expect(panel.network?.form.value).toBe(3);
    panel.follow(null);
    expect(panel.network).toBeNull();
    expect(panel.candidates).toBeNull();
  });

  it('forgets a kernel that goes', async () => {
    await followed();
    const { network } = panel;
    kernel.dispose();
    expect(panel.link).toBeNull();
    expect(network?.isDisposed).toBe(true);
  });

  it('empties when the kernel is restarted', async () => {
    await followed();
    kernel.become('restarting');
    expect(panel.network).toBeNull();
    expect(panel.link?.state).toBe('connecting');
  });

  it('loads spa_kernel', async () => {
    kernel.found = '(False, False)';
    panel.follow(notebook(kernel));
    await settled();
    await panel.load();
    expect(recorded).toEqual(['%load_ext spa_kernel']);
  });

  it('explains a group, once asked', async () => {
    await followed();
    const network = panel.network!;
    await network.toggle(network.groups[0]);
    expect(network.open?.explanation?.layer).toBe('0');
    await network.toggle(network.groups[0]);
    expect(network.open).toBeNull();
    kernel.answer = ({ id }) => ({
      type: 'error',
      id,
      code: 'unknown',
      reason: 'No such layer.'
    });
    await network.toggle(network.groups[1]);
    expect(network.open?.problem).toBe('No such layer.');
  });

  it('lists the same groups as long as nothing changes', async () => {
    await followed();
    const network = panel.network!;
    const { listed } = network;
    expect(network.listed).toBe(listed);
    network.filter = '3';
    expect(network.listed.map(({ id }) => id)).toEqual(['g1']);
    network.filter = '';
    network.show = 'changed';
    expect(network.listed.map(({ id }) => id)).toEqual(['g0']);
  });
});
