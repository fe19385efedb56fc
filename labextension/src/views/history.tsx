import React from 'react';

import { measured, short } from '../format';
import type { IPart } from './parts';
import { reason } from './reasons';

/** The steps that were taken; a click goes to one. */
export function History({ model, trans }: IPart): React.JSX.Element | null {
  const history = model.network?.data?.history;
  if (!history) {
    return null;
  }
  const waits = model.isBusy ? reason(trans, { code: 'busy' }) : '';
  return (
    <ol className="spa-Panel-history" start={0}>
      {history.label.map((label, step) => {
        const isCurrent = step === history.position;
        const undone = step > history.position;
        return (
          <li key={step} className={undone ? 'spa-mod-undone' : ''}>
            <button
              type="button"
              aria-current={isCurrent ? 'step' : undefined}
              aria-disabled={waits ? true : undefined}
              title={
                waits || (isCurrent ? label : trans.__('Go to “%1”', label))
              }
              onClick={() => void model.jump(step)}
            >
              <span>{step}</span>
              <span className="spa-Panel-label">
                <span>{label}</span>
                <small>
                  {trans.__(
                    '%1 FLOPs · %2 parameters',
                    short(history.flops[step]),
                    short(history.params[step])
                  )}
                </small>
                <Measured values={history.values[step]} />
              </span>
            </button>
          </li>
        );
      })}
    </ol>
  );
}

/** What was measured of a step, such as its accuracy. */
function Measured(props: {
  values: Record<string, number> | undefined;
}): React.JSX.Element | null {
  const values = Object.entries(props.values ?? {});
  if (!values.length) {
    return null;
  }
  return (
    <small>
      {values.map(([name, value]) => `${name} ${measured(value)}`).join(', ')}
    </small>
  );
}
