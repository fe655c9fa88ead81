import { formatCount, formatDuration, formatRate } from "../lib/format";
import { ChartCard } from "./ChartCard";
import type { Samples } from "./samples";

/** The hub at a glance: two charts of the last two minutes, and the figures that need none. */
export function Figures({ samples, totalClients }: { samples: Samples; totalClients: number }) {
  const { latest, list } = samples;
  return (
    <section className="figures" aria-label="Live totals">
      <ChartCard
        title="Connections"
        testId="total-connections"
        value={formatCount(latest?.totalConnections ?? 0)}
        points={list.map((sample) => ({ ts: sample.ts, value: sample.connections }))}
        format={formatCount}
      />
      <ChartCard
        title="Events per second"
        testId="events-per-second"
        value={formatRate(list.at(-1)?.events ?? 0)}
        points={list.map((sample) => ({ ts: sample.ts, value: sample.events }))}
        format={formatRate}
      />
      <dl className="card facts">
        <Fact term="Clients" testId="total-clients" value={formatCount(totalClients)} />
        <Fact term="Deliveries per second" value={formatRate(list.at(-1)?.deliveries ?? 0)} />
        <Fact term="Published so far" value={formatCount(latest?.published ?? 0)} />
        <Fact term="Up for" value={latest === null ? "–" : formatDuration(latest.uptimeMs)} />
        <Fact term="Version" value={latest?.version ?? "–"} />
        <Fact term="Node" value={latest?.node ?? "–"} />
      </dl>
    </section>
  );
}

function Fact({ term, value, testId }: { term: string; value: string; testId?: string }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd className="number break" data-testid={testId}>
        {value}
      </dd>
    </div>
  );
}
