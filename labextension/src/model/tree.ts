import type { IGroup } from './groups';

/** A module of the network that holds several groups. */
export interface IModule {
  /** Where it is, such as `features.denseblock1`. */
  readonly path: string;
  readonly groups: readonly IGroup[];
  readonly isOpen: boolean;
}

/** A line of the tree: a module or a group, under the name that it has in the module above. */
export type IRow = { readonly depth: number; readonly label: string } & (
  | { readonly module: IModule; readonly group: null }
  | { readonly module: null; readonly group: IGroup }
);

/** As many groups are shown without anything being folded. */
export const FEW = 40;

/**
 * Whether a module is open before anybody has touched it.
 *
 * All are, where the groups are few; of many only the trunk, which holds most of them.
 */
export function opens(
  module: readonly unknown[],
  all: readonly unknown[]
): boolean {
  return all.length <= FEW || module.length * 2 > all.length;
}

/** The lines of open modules, in the order in which the groups come; others are only named. */
export function rows(
  groups: readonly IGroup[],
  isOpen: (path: string, groups: readonly IGroup[]) => boolean
): IRow[] {
  const found: IRow[] = [];
  const grow = (members: readonly IGroup[], above: string, depth: number) => {
    for (const branch of branches(members, above)) {
      const [group] = branch;
      if (branch.length === 1) {
        const label = group.name.slice(above.length);
        found.push({ depth, label, module: null, group });
        continue;
      }
      const path = shared(branch, above);
      const module = { path, groups: branch, isOpen: isOpen(path, branch) };
      const label = path.slice(above.length);
      found.push({ depth, label, module, group: null });
      if (module.isOpen) {
        grow(branch, `${path}.`, depth + 1);
      }
    }
  };
  grow(groups, '', 0);
  return found;
}

/** Groups by the next part of their names; those that end there are by themselves. */
function branches(
  groups: readonly IGroup[],
  above: string
): Iterable<IGroup[]> {
  const found = new Map<string, IGroup[]>();
  for (const group of groups) {
    const end = group.name.indexOf('.', above.length);
    const key = end < 0 ? `.${group.id}` : group.name.slice(0, end);
    found.set(key, [...(found.get(key) ?? []), group]);
  }
  return found.values();
}

/** The innermost module that all these groups are in. */
function shared([first, ...others]: readonly IGroup[], above: string): string {
  let path = '';
  let end = first.name.indexOf('.', above.length);
  while (
    end >= 0 &&
    others.every(({ name }) => name.startsWith(first.name.slice(0, end + 1)))
  ) {
    path = first.name.slice(0, end);
    end = first.name.indexOf('.', end + 1);
  }
  return path;
}
