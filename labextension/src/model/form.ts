import type { Criteria, Options, Pattern, Target } from '../protocol/messages';
import { isWord } from './lines';

/** What a person has set for the next prune of a network; texts are as typed. */
export interface IForm {
  readonly kind: Target['kind'];
  readonly value: number;
  readonly criterion: string;
  readonly scope: NonNullable<Options['scope']>;
  readonly roundTo: string;
  readonly exclude: string;
  readonly steps: string;
  readonly data: string;
  readonly loss: string;
}

/** What a fresh form says: the commands' own defaults, and half of the work. */
export const FORM: IForm = {
  kind: 'flops',
  value: 2,
  criterion: 'l1',
  scope: 'global',
  roundTo: '',
  exclude: '',
  steps: '',
  data: '',
  loss: ''
};

/** What a slider can be moved over; numbers beyond it can be typed. */
export interface IBounds {
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly start: number;
}

export function bounds(kind: Target['kind']): IBounds {
  return kind === 'ratio'
    ? { min: 0.05, max: 0.95, step: 0.05, start: 0.5 }
    : { min: 1.1, max: 8, step: 0.1, start: 2 };
}

/** A field that does not make sense, by its name in the form. */
export type Fault = 'value' | 'roundTo' | 'steps' | 'exclude' | 'data' | 'loss';

export function fault(
  form: IForm,
  criteria: Criteria | undefined
): Fault | null {
  const { kind, value } = form;
  const sensible =
    kind === 'ratio' ? value > 0 && value < 1 : value > 1 && value <= 100000;
  if (!sensible) {
    return 'value';
  }
  if (form.roundTo && !isCount(form.roundTo, 65536)) {
    return 'roundTo';
  }
  if (form.steps && !isCount(form.steps, 1000)) {
    return 'steps';
  }
  if (patterns(form.exclude).some(pattern => /\s/.test(pattern))) {
    return 'exclude';
  }
  return missing(form, asks(form, criteria));
}

/** What the criterion cannot do without, or what no command can hold. */
function missing(
  { data, loss }: IForm,
  needs: Criteria['asks'][number]
): Fault | null {
  const needsData = needs === 'data' || needs === 'labels';
  if (needs !== 'nothing' && (!isWord(data) || (needsData && !data.trim()))) {
    return 'data';
  }
  if (needs === 'labels' && (!isWord(loss) || !loss.trim())) {
    return 'loss';
  }
  return null;
}

/** What the criterion of a form asks a person for. */
export function asks(
  form: IForm,
  criteria: Criteria | undefined
): Criteria['asks'][number] {
  const index = criteria?.name.indexOf(form.criterion) ?? -1;
  return criteria?.asks[index] ?? 'nothing';
}

export function target(form: IForm): Target {
  return { kind: form.kind, value: form.value };
}

/** The options of `%spa_prune` that a form stands for; those at their default are left out. */
export function options(form: IForm, criteria: Criteria | undefined): Options {
  const [first, ...rest] = patterns(form.exclude);
  const needs = asks(form, criteria);
  return {
    criterion: form.criterion,
    ...(form.scope !== FORM.scope && { scope: form.scope }),
    ...(first && { exclude: [first, ...rest] as [Pattern, ...Pattern[]] }),
    ...(form.roundTo && { round_to: Number(form.roundTo) }),
    ...(Number(form.steps) > 1 && { steps: Number(form.steps) }),
    ...(needs !== 'nothing' && form.data.trim() && { data: form.data.trim() }),
    ...(needs === 'labels' && form.loss.trim() && { loss: form.loss.trim() })
  };
}

function patterns(text: string): string[] {
  return text
    .split(',')
    .map(pattern => pattern.trim())
    .filter(Boolean);
}

function isCount(text: string, most: number): boolean {
  return /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= most;
}
