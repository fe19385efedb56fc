import type { Groups, Prediction } from '../protocol/messages';

/** One group of coupled channels, as a line of the list. */
export interface IGroup {
  readonly id: string;
  readonly name: string;
  readonly size: number;
  readonly blocks: number;
  readonly members: number;
  /** Why its channels cannot go; empty where they can. */
  readonly reason: string;
  /** Heights between 0 and 1, least important channel first; empty where nothing is known. */
  readonly spark: readonly number[];
  /** How many channels the predicted prune leaves. */
  readonly after: number;
}

/** From columns to lines. */
export function lines(
  groups: Groups,
  widths: Prediction['widths'] | undefined
): IGroup[] {
  const after = new Map(widths?.id.map((id, i) => [id, widths.after[i]]));
  return groups.id.map((id, i) => ({
    id,
    name: groups.name[i],
    size: groups.size[i],
    blocks: groups.blocks[i],
    members: groups.members[i],
    reason: groups.why[i] < 0 ? '' : (groups.reasons[groups.why[i]] ?? ''),
    spark: [...(groups.spark?.[i] ?? '')].map(digit => Number(digit) / 9),
    after: after.get(id) ?? groups.size[i]
  }));
}

/** Which groups are shown. */
export type Show = 'all' | 'prunable' | 'frozen' | 'changed';

/** The groups in which every word of a filter occurs, in the id, the name or the reason. */
export function chosen(
  groups: readonly IGroup[],
  filter: string,
  show: Show
): IGroup[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return groups.filter(group => {
    const text = `${group.id} ${group.name} ${group.reason}`.toLowerCase();
    return fits(group, show) && words.every(word => text.includes(word));
  });
}

function fits(group: IGroup, show: Show): boolean {
  switch (show) {
    case 'all':
      return true;
    case 'prunable':
      return !group.reason;
    case 'frozen':
      return Boolean(group.reason);
    case 'changed':
      return group.after !== group.size;
  }
}
