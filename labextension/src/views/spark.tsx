import React from 'react';

const WIDTH = 56;
const HEIGHT = 18;

/**
 * How importance runs over the channels of a group, least important first.
 *
 * The part that a prune would take away is marked.
 */
export const Spark = React.memo(function Spark(props: {
  heights: readonly number[];
  /** The share of channels that goes. */
  gone: number;
  label: string;
}): React.JSX.Element | null {
  const { heights, gone, label } = props;
  if (!heights.length) {
    return null;
  }
  const step = WIDTH / heights.length;
  const top = (height: number) => (HEIGHT - 1) * (1 - height) + 0.5;
  const outline = heights
    .map((h, i) => `L${i * step} ${top(h)}H${(i + 1) * step}`)
    .join('');
  const path = `M0 ${HEIGHT}${outline}V${HEIGHT}Z`;
  const cut = Math.min(gone, 0.99) * WIDTH;
  const rest = WIDTH - cut;
  return (
    <svg
      className="spa-Panel-spark"
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <path className="spa-mod-gone" d={path} />
      <svg x={cut} width={rest} viewBox={`${cut} 0 ${rest} ${HEIGHT}`}>
        <path d={path} />
      </svg>
    </svg>
  );
});
