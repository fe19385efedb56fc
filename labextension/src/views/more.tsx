import { HTMLSelect } from '@jupyterlab/ui-components';
import React from 'react';

import type { IForm } from '../model/form';
import { Field } from './parts';
import { type IFormPart, Typed } from './target';

/** What is seldom set. */
export function More({ network, trans }: IFormPart): React.JSX.Element {
  const scopes: [IForm['scope'], string][] = [
    ['global', trans.__('all groups together')],
    ['local', trans.__('each group by itself')],
    ['isomorphic', trans.__('groups that are built alike')]
  ];
  return (
    <details className="spa-Panel-more">
      <summary>{trans.__('More options')}</summary>
      <Field
        label={trans.__('Compare channels of')}
        hint={trans.__('As for --scope')}
      >
        <HTMLSelect
          value={network.form.scope}
          onChange={event =>
            network.set({ scope: event.target.value as IForm['scope'] })
          }
        >
          {scopes.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </HTMLSelect>
      </Field>
      <Typed
        name="exclude"
        label={trans.__('Leave whole')}
        placeholder={trans.__('head,layer4*')}
        hint={trans.__('Layers or groups that lose nothing, as for --exclude')}
        {...{ network, trans }}
      />
      <Typed
        name="roundTo"
        label={trans.__('Widths are multiples of')}
        placeholder="1"
        hint={trans.__('As for --round-to')}
        {...{ network, trans }}
      />
      <Typed
        name="steps"
        label={trans.__('Prunes to get there')}
        placeholder="1"
        hint={trans.__('As for --steps; the prediction is for one')}
        {...{ network, trans }}
      />
    </details>
  );
}
