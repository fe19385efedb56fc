/** A function that gives the same result again as long as it is given the same. */
export function last<Given extends readonly unknown[], Result>(
  work: (...given: Given) => Result
): (...given: Given) => Result {
  let known: { given: Given; result: Result } | null = null;
  return (...given) => {
    if (!known?.given.every((value, i) => value === given[i])) {
      known = { given, result: work(...given) };
    }
    return known.result;
  };
}
