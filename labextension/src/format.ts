/** Numbers for people, as the views of the Python package write them. */

const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];

/** 11.2 M, 41.0 G. */
export function short(value: number): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit
    ? `${scaled.toPrecision(3)} ${UNITS[unit]}`
    : String(Math.round(scaled));
}

/** How many times less, 2.03×. */
export function times(before: number, after: number): string {
  if (after === 0) {
    return '∞';
  }
  // Rounded down, so that 1.996 never reads as 2.00.
  return `${(Math.floor((before / after) * 100 + 1e-9) / 100).toFixed(2)}×`;
}

/** 1.50 MB. */
export function bytes(value: number): string {
  const text = short(value);
  return text.includes(' ') ? `${text}B` : `${text} B`;
}

/** 0.923. */
export function measured(value: number): string {
  return String(Number(value.toPrecision(4)));
}
