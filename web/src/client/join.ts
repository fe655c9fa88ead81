/** Who joins, as what, to which topics: its checks, its stream's address, and its place in the page's address. */

import { checkClientId, checkDisplayName, checkTopic, isAddressable } from "../lib/names";

export interface Join {
  readonly name: string;
  /** Empty: the name serves. */
  readonly clientId: string;
  /** As typed: separated by commas or line breaks. */
  readonly topics: string;
}

export interface JoinProblems {
  readonly name: string | null;
  readonly clientId: string | null;
  readonly topics: string | null;
}

const MAX_TOPICS = 64;

export const clientIdOf = (join: Join): string => join.clientId || join.name;

export function topicsOf(join: Join): string[] {
  const topics = join.topics.split(/[,\n]/).map((topic) => topic.trim());
  return [...new Set(topics.filter((topic) => topic !== ""))];
}

export function checkJoin(join: Join): JoinProblems {
  return {
    name: checkDisplayName(join.name) ?? (join.clientId === "" ? checkAddress(join.name) : null),
    clientId: join.clientId === "" ? null : (checkClientId(join.clientId) ?? checkAddress(join.clientId)),
    topics: checkTopics(topicsOf(join)),
  };
}

const checkAddress = (clientId: string): string | null =>
  isAddressable(clientId) ? null : "A browser cannot write this client id in an address.";

function checkTopics(topics: string[]): string | null {
  if (topics.length > MAX_TOPICS) return `At most ${MAX_TOPICS} topics are allowed.`;
  return topics.map(checkTopic).find((wrong) => wrong !== null) ?? null;
}

export function subscribeUrl(join: Join): string {
  const query = new URLSearchParams({ name: join.name });
  for (const topic of topicsOf(join)) query.append("topic", topic);
  return `/api/sse/subscribe/${encodeURIComponent(clientIdOf(join))}?${query}`;
}

export function readJoin(search: string): { join: Join; joinNow: boolean } {
  const query = new URLSearchParams(search);
  const join = {
    name: query.get("name") ?? "",
    clientId: query.get("clientId") ?? "",
    topics: query.getAll("topic").join(", "),
  };
  const sound = Object.values(checkJoin(join)).every((wrong) => wrong === null);
  return { join, joinNow: query.get("join") === "1" && sound };
}

/** The address that brings a visitor back to the same place, so that a reload stays joined. */
export function writeJoin(join: Join, joined: boolean): string {
  const query = new URLSearchParams({ name: join.name });
  if (join.clientId !== "") query.set("clientId", join.clientId);
  for (const topic of topicsOf(join)) query.append("topic", topic);
  if (joined) query.set("join", "1");
  return `/client?${query}`;
}
