import React from 'react';

import { short, times } from '../format';
import type { IPart } from './parts';

/** FLOPs and parameters: at the start, now, and after the prune that is being thought of. */
export function Size({ model, trans }: IPart): React.JSX.Element | null {
  const network = model.network;
  const data = network?.data;
  if (!network || !data) {
    return null;
  }
  const { foretold } = network;
  const prediction =
    foretold.state === 'done'
      ? foretold.prediction
      : foretold.state === 'waiting'
        ? foretold.last
        : null;
  const rows = [
    { name: trans.__('FLOPs'), now: data.flops, then: prediction?.flops[1] },
    {
      name: trans.__('Parameters'),
      now: data.params,
      then: prediction?.params[1]
    }
  ];
  return (
    <table
      className="spa-Panel-size"
      aria-label={trans.__('Size of %1', network.name)}
      data-state={foretold.state}
    >
      <thead>
        <tr>
          <td />
          <th scope="col">{trans.__('start')}</th>
          <th scope="col">{trans.__('now')}</th>
          <th scope="col" title={trans.__('after the prune that is set below')}>
            {trans.__('predicted')}
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, now: [start, now], then }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td title={start.toLocaleString()}>{short(start)}</td>
            <td title={now.toLocaleString()}>
              {short(now)}
              {now < start && <small>{times(start, now)}</small>}
            </td>
            <td className="spa-mod-then" title={then?.toLocaleString()}>
              {then === undefined ? '–' : short(then)}
              {then !== undefined && <small>{times(start, then)}</small>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
