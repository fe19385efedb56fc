import { KernelLink } from '../connection/link';
import { Links } from '../connection/links';
import { Gone, Refusal } from '../protocol/guards';
import { FakeKernel, settled } from './fake';

let kernel: FakeKernel;
let link: KernelLink;

async function linked(made = new FakeKernel()): Promise<void> {
  kernel = made;
  link = new KernelLink(kernel.connection, '0.1.0');
  await settled();
}

beforeEach(() => linked());
afterEach(() => link.dispose());

describe('a link to a kernel', () => {
  it('says hello and hears snapshots', () => {
    expect(link.state).toBe('ready');
    expect(kernel.comm.asked[0]).toEqual({
      type: 'hello',
      id: 0,
      version: 1,
      extension: '0.1.0'
    });
    kernel.tell();
    expect(link.snapshot?.models[0].name).toBe('net');
  });

  it('drops snapshots that come late, and messages that it does not know', () => {
    kernel.tell({ revision: 7 });
    kernel.tell({ revision: 6, models: [] });
    kernel.comm.say({ type: 'song', id: null });
    kernel.comm.say([1, 2]);
    expect(link.snapshot?.revision).toBe(7);
  });

  it('tells progress, and its end', () => {
    const step = { type: 'progress', id: null, model: 'net', total: 9 };
    kernel.comm.say({ ...step, phase: 'scoring', done: 3 });
    expect(link.progress?.done).toBe(3);
    expect(link.busy).toBe(true);
    kernel.comm.say({ ...step, phase: null, done: 9 });
    expect(link.progress).toBeNull();
    expect(link.busy).toBe(false);
  });

  it('is busy while a cell runs, whatever the status of the kernel says', () => {
    kernel.runs(true);
    kernel.become('idle');
    expect(link.busy).toBe(true);
    kernel.runs(false);
    expect(link.busy).toBe(false);
  });

  it('gives answers to those who asked', async () => {
    const [one, two] = await Promise.all([
      link.ask({ type: 'candidates' }),
      link.ask({ type: 'explain', model: 'net', layer: '0' })
    ]);
    expect(one.name).toEqual(['net']);
    expect(two.layer).toBe('0');
  });

  it('hands refusals on', async () => {
    kernel.answer = ({ id }) => ({
      type: 'error',
      id,
      code: 'data',
      reason: 'It needs data.',
      line: '%spa_prune'
    });
    const refused = link.ask({ type: 'candidates' });
    await expect(refused).rejects.toThrow(Refusal);
    await expect(refused).rejects.toMatchObject({
      code: 'data',
      line: '%spa_prune'
    });
  });

  it('comes back after a restart, and keeps nothing', async () => {
    kernel.tell();
    kernel.answer = () => null;
    const open = link.ask({ type: 'candidates' });
    const first = kernel.comm;
    kernel.found = '(False, False)';
    kernel.become('restarting');
    await expect(open).rejects.toThrow(Gone);
    expect(link.state).toBe('connecting');
    expect(link.snapshot).toBeNull();
    // The kernel takes its comms along; nothing is sent to the new one.
    expect(first.wasClosed).toBe(false);
    kernel.become('idle');
    await settled();
    expect(link.state).toBe('absent');
    await expect(link.ask({ type: 'candidates' })).rejects.toThrow(Gone);
  });

  it('notices when spa_kernel is loaded', async () => {
    link.dispose();
    const fresh = new FakeKernel();
    fresh.found = '(False, False)';
    await linked(fresh);
    expect(link.state).toBe('absent');
    expect(kernel.comms).toHaveLength(0);
    kernel.runs(true, 'x = 1');
    kernel.found = '(True, True)';
    kernel.runs(true, '%load_ext spa_kernel');
    await settled();
    expect(link.state).toBe('ready');
  });

  it('connects anew when the extension is loaded anew, and leaves when unloaded', async () => {
    kernel.comm.leave();
    await settled();
    expect(link.state).toBe('ready');
    expect(kernel.comms).toHaveLength(2);
    kernel.found = '(False, False)';
    kernel.comm.leave();
    await settled();
    expect(link.state).toBe('absent');
  });

  it('does not wait for a running cell', async () => {
    link.dispose();
    const busy = new FakeKernel();
    busy.status = 'busy';
    await linked(busy);
    expect(kernel.probes).toBe(0);
    expect(link.state).toBe('ready');
    expect(link.busy).toBe(true);
  });

  it('takes a comm that is closed before hello for a kernel without spa_kernel', async () => {
    link.dispose();
    const busy = new FakeKernel();
    busy.status = 'busy';
    busy.answer = () => null;
    await linked(busy);
    kernel.comm.leave();
    await settled();
    expect(link.state).toBe('absent');
  });

  it.each([
    ['(False, True)', 'outdated'],
    ['(False, False)', 'absent'],
    ['nonsense', 'absent'],
    ['aborted', 'absent']
  ])('finds %s to be %s', async (found, state) => {
    link.dispose();
    const other = new FakeKernel();
    other.found = found;
    await linked(other);
    expect(link.state).toBe(state);
  });

  it('asks no kernel of another language', async () => {
    link.dispose();
    const other = new FakeKernel();
    other.language = 'R';
    await linked(other);
    expect([link.state, kernel.probes]).toEqual(['absent', 0]);
  });

  it('says who is older', async () => {
    link.dispose();
    const other = new FakeKernel();
    other.answer = ({ id }) => ({
      type: 'error',
      id,
      code: 'version',
      reason: 'Update.',
      version: 2
    });
    await linked(other);
    expect([link.state, link.theirs]).toEqual(['mismatch', 2]);
    expect(kernel.comm.wasClosed).toBe(true);
  });

  it('leaves a kernel alone whose comms another document handles', async () => {
    link.dispose();
    const other = new FakeKernel();
    other.handleComms = false;
    await linked(other);
    expect([link.state, kernel.probes]).toEqual(['elsewhere', 0]);
  });

  it('works where there are no subshells, or they fail', async () => {
    link.dispose();
    const old = new FakeKernel();
    old.supportsSubshells = false;
    const create = old.createComm.bind(old);
    old.createComm = () => {
      const comm = create();
      comm.subshellStarted = new Promise(() => undefined);
      return comm;
    };
    await linked(old);
    expect(link.state).toBe('ready');
    link.dispose();
    const failing = new FakeKernel();
    const make = failing.createComm.bind(failing);
    failing.createComm = () => {
      const comm = make();
      comm.subshellStarted = Promise.reject(new Error('none'));
      return comm;
    };
    await linked(failing);
    expect(link.state).toBe('ready');
  });

  it('asks how things are when the page was cut off', () => {
    kernel.connectionStatusChanged.emit('connected');
    expect(kernel.comm.asked.map(({ type }) => type)).toEqual([
      'hello',
      'snapshot'
    ]);
  });

  it('says when the kernel is dead', () => {
    kernel.become('dead');
    expect(link.state).toBe('dead');
  });

  it('ends with its kernel', async () => {
    kernel.dispose();
    expect(link.isDisposed).toBe(true);
    link.dispose();
    await expect(link.ask({ type: 'candidates' })).rejects.toThrow(Gone);
  });

  it('closes its comm', () => {
    link.dispose();
    expect(kernel.comm.wasClosed).toBe(true);
  });
});

describe('links', () => {
  it('are one for each kernel', () => {
    const links = new Links('0.1.0');
    const [one, two] = [new FakeKernel('one'), new FakeKernel('two')];
    const first = links.of(one.connection);
    expect(links.of(one.connection)).toBe(first);
    expect(links.of(two.connection)).not.toBe(first);
    one.dispose();
    expect(first.isDisposed).toBe(true);
    expect(links.of(new FakeKernel('one').connection)).not.toBe(first);
    links.dispose();
    links.dispose();
    expect(links.isDisposed).toBe(true);
  });

  it('take the connection that handles comms', async () => {
    const links = new Links('0.1.0');
    const deaf = new FakeKernel('one');
    deaf.handleComms = false;
    const first = links.of(deaf.connection);
    expect(links.of(deaf.connection)).toBe(first);
    const second = links.of(new FakeKernel('one').connection);
    await settled();
    expect(second.state).toBe('ready');
    links.dispose();
  });
});
