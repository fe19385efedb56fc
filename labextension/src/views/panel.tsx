import { addIcon, HTMLSelect } from '@jupyterlab/ui-components';
import React from 'react';

import { Analyse } from './analyse';
import { Groups } from './groups';
import { History } from './history';
import { Message } from './messages';
import { ActionButton, Field, type IPart, Section } from './parts';
import { Working } from './progress';
import { Size } from './size';
import { Target } from './target';

/** The whole panel. */
export function Panel({ model, trans }: IPart): React.JSX.Element {
  const isReady = model.link?.state === 'ready';
  const part = { model, trans };
  const isEmpty = !model.network && !model.candidates?.list?.length;
  return (
    <>
      <Working {...part} />
      <div className="spa-Panel-content">
        {(!isReady || (isEmpty && !model.candidates?.isOpen)) && (
          <Message {...part} />
        )}
        {isReady && model.names.length > 0 && <Choice {...part} />}
        {isReady && <Analyse {...part} />}
        {isReady && model.network && <Network {...part} />}
      </div>
    </>
  );
}

function Choice({ model, trans }: IPart): React.JSX.Element {
  const { candidates } = model;
  return (
    <div className="spa-Panel-choice">
      <HTMLSelect
        aria-label={trans.__('Network')}
        value={model.network?.name}
        onChange={event => model.select(event.target.value)}
      >
        {model.names.map(name => (
          <option key={name}>{name}</option>
        ))}
      </HTMLSelect>
      <button
        type="button"
        className="jp-ToolbarButtonComponent"
        aria-expanded={Boolean(candidates?.isOpen)}
        aria-label={trans.__('Analyse another network')}
        title={trans.__('Analyse another network')}
        onClick={() => {
          if (candidates) {
            candidates.isOpen = !candidates.isOpen;
          }
        }}
      >
        <addIcon.react tag="span" />
      </button>
    </div>
  );
}

function Network(part: IPart): React.JSX.Element {
  const { model, trans } = part;
  const network = model.network;
  const data = network?.data;
  const frozen = network?.groups.filter(group => group.reason).length ?? 0;
  return (
    <>
      <p className="spa-Panel-kind">
        {data?.kind} · {data?.framework}
      </p>
      <Size {...part} />
      {data && data.notes.length > 0 && (
        <details className="spa-Panel-notes">
          <summary>
            {trans._n(
              '%1 note on the analysis',
              '%1 notes on the analysis',
              data.notes.length
            )}
          </summary>
          <ul>
            {data.notes.map(note => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </details>
      )}
      <Section title={trans.__('Prune')}>
        <Target {...part} />
        <div className="spa-Panel-buttons">
          <ActionButton
            {...part}
            action="prune"
            label={trans.__('Prune')}
            caption={trans.__('Run the command above in a new cell')}
            primary
          />
          <ActionButton
            {...part}
            action="dryRun"
            label={trans.__('Show plan')}
            caption={trans.__('Run it with --dry-run: nothing is changed')}
          />
        </div>
      </Section>
      <Section
        title={trans.__('History')}
        summary={trans._n(
          '%1 step',
          '%1 steps',
          (data?.history.label.length ?? 1) - 1
        )}
      >
        <History {...part} />
        <div className="spa-Panel-buttons">
          <ActionButton {...part} action="undo" label={trans.__('Undo')} />
          <ActionButton {...part} action="redo" label={trans.__('Redo')} />
          <ActionButton
            {...part}
            action="reset"
            label={trans.__('Reset')}
            caption={trans.__('Take all prunes back')}
          />
        </div>
      </Section>
      <Section title={trans.__('Export')} open={false}>
        <Field label={trans.__('ONNX file')}>
          <input
            className="jp-mod-styled"
            spellCheck={false}
            value={network?.file ?? ''}
            onChange={event => {
              if (network) {
                network.file = event.target.value;
              }
            }}
          />
        </Field>
        <div className="spa-Panel-buttons">
          <ActionButton {...part} action="export" label={trans.__('Export')} />
        </div>
      </Section>
      <Section
        grow
        title={trans.__('Groups')}
        summary={trans.__('%1, %2 frozen', network?.groups.length ?? 0, frozen)}
      >
        <Groups {...part} />
      </Section>
    </>
  );
}
