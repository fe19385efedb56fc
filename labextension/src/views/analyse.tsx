import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { short } from '../format';
import type { ICandidate } from '../model/candidates';
import { isWord } from '../model/lines';
import type { Blocked } from '../model/actions';
import { type IPart, WaitingButton } from './parts';

/** The models in the notebook's variables, to be analysed. */
export function Analyse({ model, trans }: IPart): React.JSX.Element | null {
  const { candidates } = model;
  if (!candidates?.isOpen) {
    return null;
  }
  const { list } = candidates;
  return (
    <section
      className="spa-Panel-analyse"
      aria-label={trans.__('Analyse a network')}
    >
      <h3>{trans.__('Analyse a network')}</h3>
      {list?.length === 0 && (
        <p className="spa-Panel-hint">
          {trans.__(
            'There is no model in this notebook yet: run the cell that makes it.'
          )}
        </p>
      )}
      <ul>
        {list?.map(candidate => (
          <Candidate
            key={candidate.name}
            candidate={candidate}
            example={candidates.example(candidate.name)}
            isBusy={model.isBusy}
            trans={trans}
            onType={text => candidates.setExample(candidate.name, text)}
            onAnalyse={text => void model.analyse(candidate.name, text)}
          />
        ))}
      </ul>
    </section>
  );
}

function Candidate(props: {
  candidate: ICandidate;
  example: string;
  isBusy: boolean;
  trans: TranslationBundle;
  onType: (text: string) => void;
  onAnalyse: (text: string) => void;
}): React.JSX.Element {
  const { candidate, example, trans } = props;
  const { name, kind, params } = candidate;
  const size = params === null ? '' : trans.__('%1 parameters', short(params));
  return (
    <li>
      <form
        onSubmit={event => {
          event.preventDefault();
          if (!waits(props)) {
            props.onAnalyse(example);
          }
        }}
      >
        <div className="spa-Panel-candidate">
          <strong>{name}</strong>
          <span>{[kind, size].filter(Boolean).join(' · ')}</span>
        </div>
        {candidate.input && (
          <input
            className="jp-mod-styled"
            value={example}
            placeholder={trans.__('1,3,224,224 or x[:1]')}
            aria-label={trans.__(
              'Example input of %1: its shape, or a variable',
              name
            )}
            title={trans.__(
              'The shape of an example input, or a variable that holds one'
            )}
            onChange={event => props.onType(event.target.value)}
          />
        )}
        <WaitingButton
          label={
            candidate.analysed ? trans.__('Analyse anew') : trans.__('Analyse')
          }
          caption={trans.__(
            'Find out which channels of %1 hang together',
            name
          )}
          blocked={waits(props)}
          trans={trans}
          primary={!candidate.analysed}
          onClick={() => props.onAnalyse(example)}
        />
      </form>
    </li>
  );
}

function waits(props: {
  candidate: ICandidate;
  example: string;
  isBusy: boolean;
  trans: TranslationBundle;
}): Blocked | null {
  const { candidate, example, trans } = props;
  if (props.isBusy) {
    return { code: 'busy' };
  }
  if (candidate.input && !example.trim()) {
    return {
      code: 'told',
      reason: trans.__(
        'Give the shape of an example input, or a variable that holds one.'
      )
    };
  }
  return isWord(example)
    ? null
    : { code: 'told', reason: trans.__('Make a variable of this first.') };
}
