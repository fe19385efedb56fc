import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { type Action, type Blocked, blocked } from '../model/actions';
import type { PanelModel } from '../model/panel';
import { reason } from './reasons';

/** What every part of the panel is given. */
export interface IPart {
  model: PanelModel;
  trans: TranslationBundle;
}

/** A part of the panel that can be folded. */
export function Section(props: {
  title: string;
  summary?: string;
  open?: boolean;
  grow?: boolean;
  children: React.ReactNode;
}): React.JSX.Element {
  const { title, summary, open = true, grow, children } = props;
  return (
    <details
      className={`spa-Panel-section${grow ? ' spa-mod-grow' : ''}`}
      open={open}
    >
      <summary>
        <span className="spa-Panel-title">{title}</span>
        {summary && <span className="spa-Panel-summary">{summary}</span>}
      </summary>
      <div className="spa-Panel-body">{children}</div>
    </details>
  );
}

/** A button that says why it has to wait, and can be reached all the same. */
export function WaitingButton(props: {
  label: string;
  caption?: string;
  primary?: boolean;
  blocked: Blocked | null;
  trans: TranslationBundle;
  onClick: () => void;
}): React.JSX.Element {
  const { label, caption, primary, trans, onClick } = props;
  const why = props.blocked ? reason(trans, props.blocked) : '';
  return (
    <button
      type="button"
      className={`jp-mod-styled ${primary ? 'jp-mod-accept' : 'jp-mod-reject'}`}
      aria-disabled={why ? true : undefined}
      title={why || caption || label}
      onClick={() => !why && onClick()}
    >
      {label}
    </button>
  );
}

/** The button of an action of the chosen network. */
export function ActionButton(
  props: IPart & {
    action: Action;
    label: string;
    caption?: string;
    primary?: boolean;
  }
): React.JSX.Element {
  const { model, action, ...rest } = props;
  return (
    <WaitingButton
      {...rest}
      blocked={blocked(model, action)}
      onClick={() => void model.act(action)}
    />
  );
}

/** A labelled field of a form. */
export function Field(props: {
  label: string;
  hint?: string;
  problem?: string;
  children: React.ReactNode;
}): React.JSX.Element {
  return (
    <label className="spa-Panel-field" title={props.hint}>
      <span>{props.label}</span>
      {props.children}
      {props.problem && (
        <span className="spa-Panel-problem" role="alert">
          {props.problem}
        </span>
      )}
    </label>
  );
}
