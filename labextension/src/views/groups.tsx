import { useVirtualizer } from '@tanstack/react-virtual';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import React from 'react';

import type { IGroup, Show } from '../model/groups';
import type { IOpen, NetworkModel } from '../model/network';
import type { IPart } from './parts';
import { Spark } from './spark';

const ROW = 44;

/** The groups of coupled channels; only the lines on the screen are in the page. */
export function Groups({ model, trans }: IPart): React.JSX.Element | null {
  const network = model.network;
  if (!network?.data) {
    return null;
  }
  const shows: [Show, string][] = [
    ['all', trans.__('All')],
    ['prunable', trans.__('Prunable')],
    ['frozen', trans.__('Frozen')],
    ['changed', trans.__('Changed by the prune above')]
  ];
  return (
    <>
      <div className="spa-Panel-filter">
        <input
          type="search"
          className="jp-mod-styled"
          placeholder={trans.__('Filter groups')}
          aria-label={trans.__('Filter groups by name, id or reason')}
          value={network.filter}
          onChange={event => {
            network.filter = event.target.value;
          }}
        />
        <HTMLSelect
          aria-label={trans.__('Which groups are shown')}
          value={network.show}
          onChange={event => {
            network.show = event.target.value as Show;
          }}
        >
          {shows.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </HTMLSelect>
      </div>
      <List network={network} trans={trans} />
    </>
  );
}

function List(props: {
  network: NetworkModel;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { network, trans } = props;
  const groups = network.listed;
  const scroller = React.useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: groups.length,
    getScrollElement: () => scroller.current,
    getItemKey: index => groups[index].id,
    estimateSize: () => ROW,
    overscan: 8
  });
  return (
    <div
      ref={scroller}
      className="spa-Panel-groups"
      role="list"
      aria-label={trans.__('Groups of coupled channels')}
      tabIndex={-1}
    >
      {!groups.length && (
        <p className="spa-Panel-hint">
          {trans.__('No group fits the filter.')}
        </p>
      )}
      <div
        role="presentation"
        style={{ height: virtual.getTotalSize(), position: 'relative' }}
      >
        {virtual.getVirtualItems().map(item => {
          const group = groups[item.index];
          return (
            <div
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              role="listitem"
              aria-setsize={groups.length}
              aria-posinset={item.index + 1}
              className="spa-Panel-group"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <Group
                group={group}
                open={network.open?.id === group.id ? network.open : null}
                trans={trans}
                onToggle={() => void network.toggle(group)}
              />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Group(props: {
  group: IGroup;
  open: IOpen | null;
  trans: TranslationBundle;
  onToggle: () => void;
}): React.JSX.Element {
  const { group, open, trans } = props;
  const { id, name, size, after, members, reason, spark } = group;
  const facts = [
    id,
    trans._n('%1 tensor axis', '%1 tensor axes', members),
    ...(group.blocks > 1 ? [trans.__('%1 blocks', group.blocks)] : [])
  ].join(' · ');
  const width =
    after === size ? String(size) : trans.__('%1 → %2', size, after);
  return (
    <>
      <button
        type="button"
        className={reason ? 'spa-mod-frozen' : ''}
        aria-expanded={open !== null}
        title={reason || trans.__('Why these channels hang together')}
        onClick={props.onToggle}
      >
        <span className="spa-Panel-name" title={name}>
          <bdi>{name}</bdi>
        </span>
        <span
          className={`spa-Panel-width${after === size ? '' : ' spa-mod-then'}`}
          title={trans.__('Channels now → after the predicted prune')}
        >
          {width}
        </span>
        <span className="spa-Panel-facts">
          {reason ? trans.__('frozen: %1', reason) : facts}
        </span>
        <Spark
          heights={reason ? [] : spark}
          gone={(size - after) / size}
          label={trans.__('Importance of the channels, least first')}
        />
      </button>
      {open && <Explained open={open} trans={trans} />}
    </>
  );
}

function Explained(props: {
  open: IOpen;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { id, explanation, problem } = props.open;
  if (!explanation) {
    return (
      <p className="spa-Panel-explained">
        {problem || props.trans.__('Asking the kernel …')}
      </p>
    );
  }
  // Each tensor of a layer says the same from its own side: one is enough.
  const { parts } = explanation;
  const part = parts.find(({ group }) => group === id) ?? parts[0];
  return (
    <div className="spa-Panel-explained">
      <p>
        <code>{part?.axis}</code>
      </p>
      <p>{part?.text}</p>
      <ul>
        {part?.joints.map(joint => (
          <li key={joint}>{joint}</li>
        ))}
      </ul>
    </div>
  );
}
