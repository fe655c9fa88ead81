import { type PointerEvent, useState } from "react";
import { HEIGHT, type Point, WIDTH, nearest, niceTop, paths, xOf } from "./chart-path";

interface ChartCardProps {
  readonly title: string;
  readonly testId: string;
  readonly value: string;
  readonly points: readonly Point[];
  readonly format: (value: number) => string;
}

/** One figure and its last two minutes. The pointer reads single values; the figure says the rest to everyone. */
export function ChartCard({ title, testId, value, points, format }: ChartCardProps) {
  const [fraction, setFraction] = useState<number | null>(null);
  const top = niceTop(points);
  const end = points.at(-1)?.ts ?? 0;
  const read = fraction === null ? null : nearest(points, fraction);
  const point = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setFraction((event.clientX - box.left) / box.width);
  };

  return (
    <figure className="card chart">
      <figcaption>
        <h2>{title}</h2>
        <strong className="chart-value number" data-testid={testId}>
          {value}
        </strong>
      </figcaption>
      <div className="chart-box" aria-hidden="true" onPointerMove={point} onPointerLeave={() => setFraction(null)}>
        <Plot points={points} top={top} readX={read === null ? null : xOf(read.ts, end)} />
        <span className="chart-top number">{format(top)}</span>
      </div>
      <p className="chart-foot soft number" aria-hidden="true">
        {read === null ? <TimeAxis /> : <span className="chart-read">{readout(read, end, format)}</span>}
      </p>
    </figure>
  );
}

function Plot({ points, top, readX }: { points: readonly Point[]; top: number; readX: number | null }) {
  const { line, area } = paths(points, top);
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" focusable="false">
      <path className="chart-grid" d={`M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}`} />
      <path className="chart-area" d={area} />
      <path className="chart-line" d={line} />
      {readX !== null && <path className="chart-cursor" d={`M${readX} 0V${HEIGHT}`} />}
    </svg>
  );
}

function TimeAxis() {
  return (
    <>
      <span>2 min ago</span>
      <span>now</span>
    </>
  );
}

function readout(point: Point, end: number, format: (value: number) => string): string {
  const value = point.value === null ? "unknown" : format(point.value);
  const seconds = Math.round((end - point.ts) / 1000);
  return seconds === 0 ? `${value} now` : `${value}, ${seconds} s ago`;
}
