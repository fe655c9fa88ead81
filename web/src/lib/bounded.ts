/** Puts the newest in front and lets the oldest go: no list of a page grows without end. */
export function prepend<T>(newest: readonly T[], list: readonly T[], limit: number): T[] {
  return [...newest, ...list].slice(0, limit);
}
