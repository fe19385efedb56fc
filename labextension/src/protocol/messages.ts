// Made by `jlpm protocol` from spa_kernel/panel/protocol.schema.json; do not edit.

/**
 * What the side panel and the kernel say to each other over the comm target spa_kernel.panel, version 1. The page opens the comm with a Hello as its data. Every question carries an id, and its answer the same one; what the kernel says by itself has the id null. Actions are no messages: the panel runs commands in cells.
 */
export type PanelMessage = Question | Answer;
/**
 * What the page sends.
 */
export type Question = Hello | SnapshotQuestion | PredictQuestion | CandidatesQuestion | ExplainQuestion;
/**
 * Of a question, chosen by the page.
 */
export type Id = number;
/**
 * A variable that holds a model or a session, or a dotted name such as trainer.net.
 */
export type Name = string;
/**
 * The id or name of a group, a layer, or a glob.
 */
export type Pattern = string;
/**
 * Python that the person typed. It is put into the command, never worked out here.
 */
export type Expression = string;
/**
 * What the kernel sends, as an answer or by itself (Snapshot and Progress).
 */
export type Answer = Welcome | Snapshot | Prediction | Progress | Candidates | Explanation | Failure;
/**
 * Of the question that this answers; null for what nobody asked for.
 */
export type PushId = Id | null;
/**
 * Grows with every change: an older snapshot that comes late can be dropped.
 */
export type Count = number;
/**
 * Grows with every change of this model.
 */
export type Count1 = number;
/**
 * At the start, and now.
 *
 * @minItems 2
 * @maxItems 2
 */
export type Change = [number, number];
/**
 * At the start, and now.
 *
 * @minItems 2
 * @maxItems 2
 */
export type Change1 = [number, number];
export type Count2 = number;
/**
 * Index of the step that the model is in; those behind it were undone.
 */
export type Count3 = number;
/**
 * How many are possible.
 */
export type Count4 = number;
/**
 * Model.revision that it is for.
 */
export type Count5 = number;
/**
 * Before and after.
 *
 * @minItems 2
 * @maxItems 2
 */
export type Change2 = [number, number];
/**
 * Before and after.
 *
 * @minItems 2
 * @maxItems 2
 */
export type Change3 = [number, number];
/**
 * Of the question that this answers; null for what nobody asked for.
 */
export type PushId1 = Id | null;
/**
 * With version: what the kernel speaks.
 */
export type Count6 = number;

/**
 * The first message, the data of comm_open. Whoever speaks another version is told so (Failure, code version); this message therefore may hold more than is stated here.
 */
export interface Hello {
  type: 'hello';
  id: Id;
  version: number;
  /**
   * Version of the JupyterLab extension.
   */
  extension?: string;
}
/**
 * Answered with a Snapshot, at once: while something is done to a model it is the last one, with busy.
 */
export interface SnapshotQuestion {
  type: 'snapshot';
  id: Id;
  /**
   * Score channels by it, so that groups come with sparks; one that needs nothing but weights (Criteria.live). Without it sparks are left out unless they are known already, as they are in pushes.
   */
  criterion?: string;
}
/**
 * What would a prune do? Answered with a Prediction; nothing is changed.
 */
export interface PredictQuestion {
  type: 'predict';
  id: Id;
  model: Name;
  target: Target;
  options?: Options;
}
/**
 * flops, params, memory: how many times less, above 1. ratio: the share of channels that goes, between 0 and 1.
 */
export interface Target {
  kind: 'flops' | 'params' | 'memory' | 'ratio';
  value: number;
}
/**
 * Options of %spa_prune with the same meaning; what is left out has the command's default.
 */
export interface Options {
  criterion?: string;
  scope?: 'global' | 'local' | 'isomorphic';
  /**
   * @minItems 1
   * @maxItems 2000
   */
  groups?: [Pattern, ...Pattern[]];
  /**
   * @minItems 1
   * @maxItems 2000
   */
  exclude?: [Pattern, ...Pattern[]];
  round_to?: number;
  max_ratio?: number;
  min_width?: number;
  /**
   * Come there in so many prunes; a prediction is for one.
   */
  steps?: number;
  data?: Expression;
  loss?: Expression;
  optimizer?: Expression;
}
/**
 * Which models are there in the notebook? Answered with Candidates.
 */
export interface CandidatesQuestion {
  type: 'candidates';
  id: Id;
}
/**
 * Why do the channels of a layer hang together, or why can they not go? Answered with an Explanation.
 */
export interface ExplainQuestion {
  type: 'explain';
  id: Id;
  model: Name;
  /**
   * Of a module or parameter; Groups.name is one.
   */
  layer: string;
}
/**
 * The answer to Hello where both speak the same version; a Snapshot follows by itself.
 */
export interface Welcome {
  type: 'hello';
  id: Id;
  version: 1;
  /**
   * Version of spa_kernel.
   */
  package: string;
}
/**
 * All analysed models as they are now; pushed whenever one of them changes, comes or goes.
 */
export interface Snapshot {
  type: 'snapshot';
  id: PushId;
  revision: Count;
  /**
   * Something is being done to a model, so that this may be out of date; a Progress tells what.
   */
  busy: boolean;
  models: Model[];
  criteria: Criteria;
}
export interface Model {
  name: Name;
  /**
   * Its class.
   */
  kind: string;
  framework: 'torch' | 'onnx' | 'keras' | 'jax' | 'mxnet';
  revision: Count1;
  flops: Change;
  params: Change1;
  history: History;
  groups: Groups;
  /**
   * What to know of the analysis.
   */
  notes: string[];
}
/**
 * The steps as columns of equal length, the start first: step i has index i.
 */
export interface History {
  label: string[];
  flops: Count2[];
  params: Count2[];
  seconds: number[];
  /**
   * What was measured of each step, such as its accuracy, by name.
   */
  values: {
    [k: string]: number;
  }[];
  position: Count3;
  undo: Ability;
  redo: Ability;
}
export interface Ability {
  steps: Count4;
  /**
   * Why none is; empty otherwise.
   */
  reason: string;
}
/**
 * Groups of coupled channels as columns of equal length, in the order of the network.
 */
export interface Groups {
  id: string[];
  /**
   * The layer whose output channels these are.
   */
  name: string[];
  /**
   * Channels.
   */
  size: Count2[];
  /**
   * Heads, or groups of a convolution, that choose apart; mostly 1.
   */
  blocks: Count2[];
  /**
   * How many axes of tensors lose an index with each channel.
   */
  members: Count2[];
  /**
   * Index into reasons where the channels cannot go; -1 where they can.
   */
  why: number[];
  /**
   * How importance runs over the channels, least important first, at most 24 digits: 9 is the group's highest. Empty where the criterion says nothing of the group. Left out where nothing was scored.
   */
  spark?: string[];
  /**
   * Of the sparks.
   */
  criterion?: string;
  /**
   * Each reason once; no column.
   */
  reasons: string[];
}
/**
 * Criteria by which channels can be scored, as columns of equal length.
 */
export interface Criteria {
  name: string[];
  summary: string[];
  /**
   * What a person must give: inputs means that data makes it better.
   */
  asks: ('nothing' | 'inputs' | 'data' | 'labels')[];
  /**
   * Needs weights only, so that it can be predicted with and seen as sparks.
   */
  live: boolean[];
}
export interface Prediction {
  type: 'prediction';
  id: Id;
  model: Name;
  revision: Count5;
  /**
   * The command that does it.
   */
  line: string;
  flops: Change2;
  params: Change2;
  memory: Change3;
  /**
   * FLOPs before divided by FLOPs after.
   */
  rf: number;
  /**
   * The same for parameters.
   */
  rp: number;
  widths: Widths;
}
/**
 * Groups that lose channels, as columns of equal length.
 */
export interface Widths {
  id: string[];
  before: Count2[];
  after: Count2[];
}
/**
 * Something is being done to a model, in any cell; at most ten a second.
 */
export interface Progress {
  type: 'progress';
  id: null;
  /**
   * As in Snapshot where it is known there.
   */
  model: string;
  /**
   * Such as scoring; null when all is done.
   */
  phase: string | null;
  done: Count2;
  total: Count2 | null;
}
/**
 * Models in the notebook's variables, as columns of equal length.
 */
export interface Candidates {
  type: 'candidates';
  id: Id;
  name: Name[];
  /**
   * The class.
   */
  kind: string[];
  framework: ('torch' | 'onnx' | 'keras' | 'jax' | 'mxnet' | 'other')[];
  /**
   * Null where they cannot be counted.
   */
  params: (Count2 | null)[];
  analysed: boolean[];
  /**
   * Whether an example input or its shape must be given to analyse it.
   */
  input: boolean[];
}
export interface Explanation {
  type: 'explanation';
  id: Id;
  model: Name;
  layer: string;
  parts: Part[];
}
/**
 * One axis of one of the layer's tensors.
 */
export interface Part {
  axis: string;
  group: string | null;
  text: string;
  /**
   * Operators that join its channels with others.
   */
  joints: string[];
}
/**
 * A question that could not be answered.
 */
export interface Failure {
  type: 'error';
  id: PushId1;
  /**
   * invalid: no message of this protocol. version: page and kernel speak different versions. unknown: no such model or layer. busy: something is being done to a model, ask again later. data: cannot be predicted, run the line instead. infeasible: what is asked for cannot be done. failed: a fault of spa_kernel.
   */
  code: 'invalid' | 'version' | 'unknown' | 'busy' | 'data' | 'infeasible' | 'failed';
  /**
   * For a person.
   */
  reason: string;
  /**
   * With data: the command that does what was asked for.
   */
  line?: string;
  version?: Count6;
}
