import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import React from 'react';

import { bytes, short, times } from '../format';
import { bounds, type IForm } from '../model/form';
import type { NetworkModel } from '../model/network';
import type { Prediction, Target as Wanted } from '../protocol/messages';
import { Field, type IPart } from './parts';
import { More } from './more';
import { complaint } from './reasons';

/** How much is to go, and by which criterion; what that would come to. */
export function Target({ model, trans }: IPart): React.JSX.Element | null {
  const network = model.network;
  if (!network?.data) {
    return null;
  }
  return (
    <>
      <Amount network={network} trans={trans} />
      <Criterion network={network} trans={trans} />
      <More network={network} trans={trans} />
      <Outcome network={network} trans={trans} />
    </>
  );
}

/** What the parts of the form are given. */
export interface IFormPart {
  network: NetworkModel;
  trans: TranslationBundle;
}

function Amount({ network, trans }: IFormPart): React.JSX.Element {
  const { kind, value } = network.form;
  const { min, max, step } = bounds(kind);
  const kinds: [Wanted['kind'], string, string][] = [
    ['flops', trans.__('× fewer FLOPs'), trans.__('times fewer FLOPs')],
    ['params', trans.__('× fewer weights'), trans.__('times fewer parameters')],
    [
      'memory',
      trans.__('× less memory'),
      trans.__('times less activation memory')
    ],
    [
      'ratio',
      trans.__('of channels less'),
      trans.__('share of the channels that goes')
    ]
  ];
  const label = kinds.find(([name]) => name === kind)?.[2];
  const set = (event: React.ChangeEvent<HTMLInputElement>) =>
    network.set({ value: event.target.valueAsNumber });
  return (
    <fieldset className="spa-Panel-amount">
      <legend>{trans.__('Remove channels, for')}</legend>
      <input
        type="number"
        className="jp-mod-styled"
        aria-label={label}
        aria-invalid={network.fault === 'value'}
        {...{ min: kind === 'ratio' ? 0.01 : 1.01, step: 'any' }}
        value={Number.isNaN(value) ? '' : value}
        onChange={set}
      />
      <HTMLSelect
        aria-label={trans.__('What is counted')}
        value={kind}
        onChange={event => {
          const chosen = event.target.value as Wanted['kind'];
          const isOther = (chosen === 'ratio') !== (kind === 'ratio');
          network.set({
            kind: chosen,
            ...(isOther && { value: bounds(chosen).start })
          });
        }}
      >
        {kinds.map(([name, text, full]) => (
          <option key={name} value={name} title={full}>
            {text}
          </option>
        ))}
      </HTMLSelect>
      <input
        type="range"
        aria-label={label}
        {...{ min, max, step }}
        value={Number.isNaN(value) ? min : value}
        onChange={set}
      />
      {network.fault === 'value' && (
        <span className="spa-Panel-problem" role="alert">
          {complaint(trans, 'value')}
        </span>
      )}
    </fieldset>
  );
}

function Criterion({ network, trans }: IFormPart): React.JSX.Element {
  const { criteria, form, asks } = network;
  const names = criteria?.name ?? [];
  const summary = criteria?.summary[names.indexOf(form.criterion)];
  return (
    <>
      <Field label={trans.__('Least important by')} hint={summary}>
        <HTMLSelect
          value={form.criterion}
          onChange={event => network.set({ criterion: event.target.value })}
        >
          {names.map((name, i) => (
            <option key={name} value={name} title={criteria?.summary[i]}>
              {name}
            </option>
          ))}
        </HTMLSelect>
      </Field>
      {asks !== 'nothing' && (
        <Typed
          name="data"
          label={trans.__('Data')}
          placeholder={trans.__('batches')}
          hint={trans.__('A variable with batches, as for --data')}
          {...{ network, trans }}
        />
      )}
      {asks === 'labels' && (
        <Typed
          name="loss"
          label={trans.__('Loss')}
          placeholder={trans.__('loss')}
          hint={trans.__('loss(output, target), as for --loss')}
          {...{ network, trans }}
        />
      )}
    </>
  );
}

/** A field in which text is typed. */
export function Typed(
  props: IFormPart & {
    name: Exclude<keyof IForm, 'kind' | 'value' | 'scope' | 'criterion'>;
    label: string;
    placeholder?: string;
    hint?: string;
  }
): React.JSX.Element {
  const { network, trans, name, label, placeholder, hint } = props;
  const isWrong = network.fault === name;
  return (
    <Field
      label={label}
      hint={hint}
      problem={isWrong ? complaint(trans, name) : undefined}
    >
      <input
        className="jp-mod-styled"
        spellCheck={false}
        placeholder={placeholder}
        aria-invalid={isWrong}
        value={network.form[name]}
        onChange={event => network.set({ [name]: event.target.value })}
      />
    </Field>
  );
}

function Outcome({ network, trans }: IFormPart): React.JSX.Element {
  const { foretold, line } = network;
  return (
    <div
      className="spa-Panel-outcome"
      aria-live="polite"
      data-state={foretold.state}
    >
      {foretold.state === 'refused' && (
        <p className="spa-Panel-problem">{foretold.reason}</p>
      )}
      {foretold.state === 'blind' && <p>{foretold.reason}</p>}
      {foretold.state === 'waiting' && (
        <p className="spa-Panel-hint">{trans.__('Working out what goes …')}</p>
      )}
      {foretold.state === 'done' && (
        <p>
          {sentence(
            trans,
            foretold.prediction,
            network.groups.filter(group => !group.reason).length
          )}
        </p>
      )}
      {line && (
        <code aria-label={trans.__('The command that does this')}>{line}</code>
      )}
    </div>
  );
}

function sentence(
  trans: TranslationBundle,
  told: Prediction,
  groups: number
): string {
  const { rf, rp, memory, widths } = told;
  const gone = widths.before.reduce(
    (sum, n, i) => sum + n - widths.after[i],
    0
  );
  return trans.__(
    'Nothing is changed yet. %1 channels would go, from %2 of %3 groups: %4 fewer FLOPs, %5 fewer parameters, activations %6 → %7.',
    short(gone),
    widths.id.length,
    groups,
    times(rf, 1),
    times(rp, 1),
    bytes(memory[0]),
    bytes(memory[1])
  );
}
