import { useVirtualizer } from '@tanstack/react-virtual';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import React from 'react';

import type { IGroup, Show } from '../model/groups';
import type { IOpen, NetworkModel } from '../model/network';
import type { IModule } from '../model/tree';
import type { IPart } from './parts';
import { Spark } from './spark';

const ROW = 44;
const MODULE = 32;
const INDENT = 12;
/** Deeper than this, lines would have no room left. */
const DEEPEST = 6;

/** The groups of coupled channels by module; only the lines on the screen are in the page. */
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
  const { rows } = network;
  const scroller = React.useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    getItemKey: index =>
      rows[index].group?.id ?? `${rows[index].module?.path}.`,
    estimateSize: index => (rows[index].module ? MODULE : ROW),
    overscan: 8
  });
  return (
    <div
      ref={scroller}
      className="spa-Panel-groups"
      role="list"
      aria-label={trans.__('Groups of coupled channels')}
      tabIndex={-1}
      onKeyDown={walk}
    >
      {!rows.length && (
        <p className="spa-Panel-hint">
          {trans.__('No group fits the filter.')}
        </p>
      )}
      <div
        role="presentation"
        style={{ height: virtual.getTotalSize(), position: 'relative' }}
      >
        {virtual.getVirtualItems().map(item => {
          const { depth, label, group, module } = rows[item.index];
          return (
            <div
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              role="listitem"
              aria-level={depth + 1}
              aria-setsize={rows.length}
              aria-posinset={item.index + 1}
              className="spa-Panel-group"
              style={{
                transform: `translateY(${item.start}px)`,
                paddingLeft: Math.min(depth, DEEPEST) * INDENT
              }}
            >
              {module ? (
                <Module
                  {...{ label, module, trans }}
                  onFold={open => network.fold(module.path, open)}
                />
              ) : (
                <Group
                  {...{ label, group, trans }}
                  open={network.open?.id === group.id ? network.open : null}
                  onToggle={() => void network.toggle(group)}
                />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** Arrows up and down go to the lines beside. */
function walk(event: React.KeyboardEvent<HTMLDivElement>): void {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const row = (event.target as Element).closest<HTMLElement>('[data-index]');
  if (!step || !row) {
    return;
  }
  event.preventDefault();
  event.currentTarget
    .querySelector<HTMLElement>(
      `[data-index="${Number(row.dataset.index) + step}"] > button`
    )
    ?.focus();
}

/** A module; arrows to the left and right close and open it. */
function Module(props: {
  label: string;
  module: IModule;
  trans: TranslationBundle;
  onFold: (open: boolean) => void;
}): React.JSX.Element {
  const { label, module, trans, onFold } = props;
  const { path, groups, isOpen } = module;
  const sum = (of: (group: IGroup) => number) =>
    groups.reduce((all, group) => all + of(group), 0);
  return (
    <button
      type="button"
      className="spa-mod-module"
      aria-expanded={isOpen}
      title={path}
      onClick={() => onFold(!isOpen)}
      onKeyDown={({ key }) => {
        if (key === (isOpen ? 'ArrowLeft' : 'ArrowRight')) {
          onFold(!isOpen);
        }
      }}
    >
      <span className="spa-Panel-name">
        <bdi>{label}</bdi>
      </span>
      <span className="spa-Panel-facts">
        {trans._n('%1 group', '%1 groups', groups.length)}
      </span>
      <Width
        size={sum(group => group.size)}
        after={sum(group => group.after)}
        trans={trans}
      />
    </button>
  );
}

function Width(props: {
  size: number;
  after: number;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { size, after, trans } = props;
  return (
    <span
      className={`spa-Panel-width${after === size ? '' : ' spa-mod-then'}`}
      title={trans.__('Channels now → after the predicted prune')}
    >
      {after === size ? String(size) : trans.__('%1 → %2', size, after)}
    </span>
  );
}

function Group(props: {
  label: string;
  group: IGroup;
  open: IOpen | null;
  trans: TranslationBundle;
  onToggle: () => void;
}): React.JSX.Element {
  const { label, group, open, trans } = props;
  const { id, name, size, after, members, reason, spark } = group;
  const facts = [
    id,
    trans._n('%1 tensor axis', '%1 tensor axes', members),
    ...(group.blocks > 1 ? [trans.__('%1 blocks', group.blocks)] : [])
  ].join(' · ');
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
          <bdi>{label}</bdi>
        </span>
        <Width {...{ size, after, trans }} />
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
