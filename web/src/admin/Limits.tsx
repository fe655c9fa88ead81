import { formatCount } from "../lib/format";
import type { Limit } from "./hub-api";

/** Every ceiling of the hub, how close it is, and how often it turned somebody away. */
export function Limits({ limits }: { limits: readonly Limit[] }) {
  return (
    <section className="card" aria-labelledby="limits">
      <h2 id="limits">Limits</h2>
      {limits.length === 0 ? (
        <p className="empty">The hub has not told its limits yet.</p>
      ) : (
        <table className="limits">
          <thead>
            <tr>
              <th scope="col">Limit</th>
              <th scope="col">In use</th>
              <th scope="col">Allowed</th>
              <th scope="col">Refused</th>
            </tr>
          </thead>
          <tbody>
            {limits.map((limit) => (
              <LimitRow key={limit.name} limit={limit} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function LimitRow({ limit: { name, limit, used, refused } }: { limit: Limit }) {
  return (
    <tr>
      <th scope="row">
        {name}
        {limit > 0 && used !== null && <progress value={Math.min(used, limit)} max={limit} aria-hidden="true" data-near={used > limit * 0.8} />}
      </th>
      <td className="number">{used === null ? "–" : formatCount(used)}</td>
      <td className="number">{limit === 0 ? "none" : formatCount(limit)}</td>
      <td className={refused > 0 ? "number limits-refused" : "number"}>{formatCount(refused)}</td>
    </tr>
  );
}
