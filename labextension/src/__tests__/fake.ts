import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import type {
  Answer,
  Model,
  Prediction,
  Question,
  Snapshot
} from '../protocol/messages';

/** Let all that waits for a promise happen. */
export async function settled(milliseconds = 0): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, milliseconds));
}

/** The kernel's end of a comm. */
export class FakeComm {
  constructor(readonly kernel: FakeKernel) {}

  onMsg: (message: KernelMessage.ICommMsgMsg) => void = () => undefined;
  onClose: (message: KernelMessage.ICommCloseMsg) => void = () => undefined;
  readonly commsOverSubshells = 'perCommTarget';
  subshellStarted: Promise<void> = Promise.resolve();
  isDisposed = false;
  wasClosed = false;
  readonly asked: Question[] = [];

  open(hello: Question): void {
    this.send(hello);
  }

  send(question: Question): void {
    this.asked.push(question);
    const said = this.kernel.answer(question);
    if (said) {
      queueMicrotask(() => this.say(said));
    }
  }

  close(): void {
    this.wasClosed = true;
    this.dispose();
  }

  dispose(): void {
    this.isDisposed = true;
  }

  /** The kernel says something. */
  say(data: Answer | object): void {
    this.onMsg({ content: { data } } as unknown as KernelMessage.ICommMsgMsg);
  }

  /** The kernel closes the comm. */
  leave(): void {
    this.isDisposed = true;
    this.onClose({} as KernelMessage.ICommCloseMsg);
  }
}

/** As much of a kernel as the panel knows of. */
export class FakeKernel {
  constructor(readonly id = 'one') {}

  /** What the probe finds: whether the target is registered, and the magics. */
  found: string | 'aborted' = '(True, True)';
  language = 'python';
  handleComms = true;
  supportsSubshells = true;
  status: Kernel.Status = 'idle';
  isDisposed = false;
  probes = 0;
  readonly comms: FakeComm[] = [];
  readonly statusChanged = new Signal<this, Kernel.Status>(this);
  readonly connectionStatusChanged = new Signal<this, Kernel.ConnectionStatus>(
    this
  );
  readonly iopubMessage = new Signal<this, KernelMessage.IIOPubMessage>(this);
  readonly disposed = new Signal<this, void>(this);

  /** What is answered to a question; replace it to answer otherwise. */
  answer: (question: Question) => Answer | null = question =>
    question.type === 'snapshot'
      ? { ...this._snapshot, id: question.id }
      : answered(question);

  get info(): Promise<{ language_info: { name: string } }> {
    return Promise.resolve({ language_info: { name: this.language } });
  }

  get comm(): FakeComm {
    return this.comms[this.comms.length - 1];
  }

  requestExecute(): { done: Promise<unknown> } {
    this.probes++;
    const content =
      this.found === 'aborted'
        ? { status: 'aborted' }
        : {
            status: 'ok',
            user_expressions: { spa: { data: { 'text/plain': this.found } } }
          };
    return { done: Promise.resolve({ content }) };
  }

  createComm(): FakeComm {
    const comm = new FakeComm(this);
    this.comms.push(comm);
    return comm;
  }

  /** Something changes, and the panel is told. */
  tell(changes: Partial<Snapshot> = {}): void {
    this._snapshot = snapshot(changes);
    this.comm.say(this._snapshot);
  }

  become(status: Kernel.Status): void {
    this.status = status;
    this.statusChanged.emit(status);
  }

  /** A cell begins or ends. */
  runs(running: boolean, code = ''): void {
    if (running) {
      this._emit('execute_input', { code });
    }
    this._emit('status', { execution_state: running ? 'busy' : 'idle' });
  }

  dispose(): void {
    this.isDisposed = true;
    this.disposed.emit();
  }

  /** This kernel, as what is tested wants it. */
  get connection(): Kernel.IKernelConnection {
    return this as unknown as Kernel.IKernelConnection;
  }

  private _snapshot = snapshot();

  private _emit(type: string, content: object): void {
    this.iopubMessage.emit({
      header: { msg_type: type },
      parent_header: { msg_type: 'execute_request' },
      content
    } as unknown as KernelMessage.IIOPubMessage);
  }
}

export function model(name = 'net', changes: Partial<Model> = {}): Model {
  return {
    name,
    kind: 'Sequential',
    framework: 'torch',
    revision: 1,
    flops: [1000, 1000],
    params: [100, 100],
    history: {
      label: ['start'],
      flops: [1000],
      params: [100],
      seconds: [0],
      values: [{}],
      position: 0,
      undo: { steps: 0, reason: 'There is nothing to undo.' },
      redo: { steps: 0, reason: 'There is nothing to redo.' }
    },
    groups: {
      id: ['g0', 'g1'],
      name: ['0', '3'],
      size: [8, 10],
      blocks: [1, 1],
      members: [4, 2],
      why: [-1, 0],
      reasons: ['It is an output.']
    },
    notes: [],
    ...changes
  };
}

export function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    type: 'snapshot',
    id: null,
    revision: 1,
    busy: false,
    models: [model()],
    criteria: {
      name: ['l1', 'taylor', 'obspa'],
      summary: ['Sum.', 'Gradient.', 'Second order.'],
      asks: ['nothing', 'labels', 'inputs'],
      live: [true, false, false]
    },
    ...changes
  };
}

export function prediction(id: number, revision = 1): Prediction {
  return {
    type: 'prediction',
    id,
    model: 'net',
    revision,
    line: '%spa_prune net --flops 2',
    flops: [1000, 500],
    params: [100, 60],
    memory: [64, 32],
    rf: 2,
    rp: 1.67,
    widths: { id: ['g0'], before: [8], after: [4] }
  };
}

function answered(
  question: Exclude<Question, { type: 'snapshot' }>
): Answer | null {
  const { id } = question;
  switch (question.type) {
    case 'hello':
      return { type: 'hello', id, version: 1, package: '0.1.0' };
    case 'predict':
      return prediction(id);
    case 'candidates':
      return {
        type: 'candidates',
        id,
        name: ['net'],
        kind: ['Sequential'],
        framework: ['torch'],
        params: [100],
        analysed: [false],
        input: [true]
      };
    case 'explain':
      return {
        type: 'explanation',
        id,
        model: question.model,
        layer: question.layer,
        parts: []
      };
  }
}
