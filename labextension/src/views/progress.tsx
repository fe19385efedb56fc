import React from 'react';

import type { IPart } from './parts';

/** What is being done just now, and whether actions have to wait for it. */
export function Working({ model, trans }: IPart): React.JSX.Element {
  const progress = model.link?.progress;
  const { isBusy } = model;
  let text = '';
  if (progress) {
    text = progress.total
      ? trans.__(
          '%1: %2, %3 of %4',
          progress.model,
          progress.phase,
          progress.done,
          progress.total
        )
      : trans.__('%1: %2 …', progress.model, progress.phase);
  } else if (isBusy) {
    text = trans.__('A cell is running. Actions wait until it is done.');
  }
  return (
    <div className="spa-Panel-working" role="status" data-busy={isBusy}>
      {isBusy && (
        <progress
          aria-label={text}
          max={progress?.total ?? undefined}
          value={progress?.total ? progress.done : undefined}
        />
      )}
      <span>{text}</span>
    </div>
  );
}
