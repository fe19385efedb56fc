import type { Answer, Failure, Question } from './messages';

/** The version of the protocol that this side speaks. */
export const VERSION = 1;

/** The comm target that the Python side registers when the extension is loaded. */
export const TARGET = 'spa_kernel.panel';

/** A question before it has got its id. */
export type Asked<Q extends Question = Question> = Q extends Question
  ? Omit<Q, 'id'>
  : never;

/** What answers a question, by the type of the question. */
export interface IAnswers {
  hello: Extract<Answer, { type: 'hello' }>;
  snapshot: Extract<Answer, { type: 'snapshot' }>;
  predict: Extract<Answer, { type: 'prediction' }>;
  candidates: Extract<Answer, { type: 'candidates' }>;
  explain: Extract<Answer, { type: 'explanation' }>;
}

const TYPES: ReadonlySet<string> = new Set<Answer['type']>([
  'hello',
  'snapshot',
  'prediction',
  'progress',
  'candidates',
  'explanation',
  'error'
]);

/** A message of this protocol; one of a type that is not known is ignored. */
export function answer(data: unknown): Answer | null {
  if (typeof data !== 'object' || data === null) {
    return null;
  }
  const { type, id } = data as { type?: unknown; id?: unknown };
  const known = typeof type === 'string' && TYPES.has(type);
  return known && (id === null || typeof id === 'number')
    ? (data as Answer)
    : null;
}

/** A question that the kernel refused. */
export class Refusal extends Error {
  constructor(failure: Failure) {
    super(failure.reason);
    this.name = 'Refusal';
    this.code = failure.code;
    this.line = failure.line;
    this.version = failure.version;
  }

  readonly code: Failure['code'];
  readonly line: string | undefined;
  readonly version: number | undefined;
}

/** The way to the kernel is gone, and with it all open questions. */
export class Gone extends Error {
  constructor() {
    super('The connection to the kernel is closed.');
    this.name = 'Gone';
  }
}
