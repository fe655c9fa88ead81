import { formatBytes, formatCount, formatTime } from "../lib/format";
import type { ConnectionRow } from "./hub-api";

interface ConnectionItemProps {
  readonly connection: ConnectionRow;
  readonly onDisconnect: () => void;
}

export function ConnectionItem({ connection, onDisconnect }: ConnectionItemProps) {
  return (
    <li className="connection">
      <dl className="connection-facts">
        <Fact term="Address" value={connection.address} />
        <Fact term="Protocol" value={connection.protocol} />
        <Fact term="Connected" value={formatTime(connection.connectedAt)} />
        <Fact term="Last seen" value={formatTime(connection.lastSeen)} />
        <Fact term="Waiting to be read" value={formatBytes(connection.pending)} />
        <Fact term="Resyncs" value={formatCount(connection.resyncs)} />
        {connection.topics.length > 0 && <Fact term="Topics" value={connection.topics.join(", ")} />}
        <Fact term="Browser" value={connection.userAgent || "–"} wide />
        <Fact term="Id" value={connection.connectionId} wide />
        {connection.tokenId !== undefined && <Fact term="Token" value={connection.tokenId} wide />}
      </dl>
      <button type="button" className="button is-small is-danger" onClick={onDisconnect}>
        Disconnect
      </button>
    </li>
  );
}

function Fact({ term, value, wide = false }: { term: string; value: string; wide?: boolean }) {
  return (
    <div className={wide ? "is-wide" : undefined}>
      <dt>{term}</dt>
      <dd className="number break">{value}</dd>
    </div>
  );
}
