import { formatCount, formatDuration, formatRate } from "../lib/format";
import { ChartCard } from "./ChartCard";
import type { Samples } from "./samples";

/** What is not known yet is not zero. */
const UNKNOWN = "–";

/** The hub at a glance: two charts of the last two minutes, and the figures that need none. */
export function Figures({ samples, totalClients }: { samples: Samples; totalClients: number }) {
  const { latest, list } = samples;
  const count = (value: number | undefined) => (value === undefined ? UNKNOWN : formatCount(value));
  const rate = (value: number | null | undefined) => (typeof value === "number" ? formatRate(value) : UNKNOWN);
  return (
    <section className="figures" aria-label="Live totals">
      <ChartCard
        title="Connections"
        testId="total-connections"
        value={count(latest?.totalConnections)}
        points={list.map((sample) => ({ ts: sample.ts, value: sample.connections }))}
        format={formatCount}
      />
      <ChartCard
        title="Events per second"
        testId="events-per-second"
        value={rate(list.at(-1)?.events)}
        points={list.map((sample) => ({ ts: sample.ts, value: sample.events }))}
        format={formatRate}
      />
      <dl className="card facts">
        <Fact term="Clients" testId="total-clients" value={count(latest === null ? undefined : totalClients)} />
        <Fact
          term="Slow readers"
          testId="slow-readers"
          value={count(latest?.slowReaders)}
          title="Streams whose socket is full at this moment"
        />
        <Fact term="Deliveries per second" value={rate(list.at(-1)?.deliveries)} />
        <Fact term="Published so far" value={count(latest?.published)} />
        <Fact term="Up for" value={latest === null ? UNKNOWN : formatDuration(latest.uptimeMs)} />
        <Fact term="Version" value={latest?.version ?? UNKNOWN} />
        <Fact term="Node" value={latest?.node ?? UNKNOWN} />
      </dl>
    </section>
  );
}

interface FactProps {
  readonly term: string;
  readonly value: string;
  readonly testId?: string;
  readonly title?: string;
}

function Fact({ term, value, testId, title }: FactProps) {
  return (
    <div title={title}>
      <dt>{term}</dt>
      <dd className="number break" data-testid={testId}>
        {value}
      </dd>
    </div>
  );
}
