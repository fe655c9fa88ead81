import { useCallback, useEffect, useState } from "react";
import { getStanding, login as askToLogin, logout as askToLogout } from "./hub-api";
import { ASKING, type Session, fromLogin, fromStanding, lost as afterLoss, out } from "./session";

export interface SessionHandle {
  readonly session: Session;
  readonly login: (key: string) => void;
  readonly logout: () => void;
  /** The hub has refused the page with this status. */
  readonly lost: (status: number) => void;
}

/** Asks the hub once whether this browser may see the dashboard, then keeps to what it is told. */
export function useSession(): SessionHandle {
  const [session, setSession] = useState<Session>(ASKING);

  useEffect(() => {
    const asked = new AbortController();
    getStanding(asked.signal).then(
      (answer) => setSession(fromStanding(answer)),
      () => {},
    );
    return () => asked.abort();
  }, []);

  const login = useCallback(async (key: string) => {
    setSession(out(null, true));
    setSession(fromLogin(await askToLogin(key)));
  }, []);

  const logout = useCallback(async () => {
    const answer = await askToLogout();
    if (answer.ok) setSession(out(null));
  }, []);

  const lost = useCallback((status: number) => setSession((session) => afterLoss(session, status)), []);

  return { session, login, logout, lost };
}
