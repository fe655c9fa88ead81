import { useCallback, useState } from "react";
import { Shell } from "../ui/Shell";
import { JoinForm } from "./JoinForm";
import { Joined } from "./Joined";
import { Notifications } from "./Notifications";
import { type Join, clientIdOf, readJoin, subscribeUrl, writeJoin } from "./join";
import { useInbox } from "./use-inbox";

export function ClientPage() {
  const [start] = useState(() => readJoin(location.search));
  const [join, setJoin] = useState(start.join);
  const [joined, setJoined] = useState(start.joinNow);
  const inbox = useInbox(joined ? subscribeUrl(join) : null);

  const enter = useCallback(
    (next: Join) => {
      // Somebody else's notifications are not this client's.
      if (clientIdOf(next) !== clientIdOf(join)) inbox.clear();
      setJoin(next);
      setJoined(true);
      history.replaceState(null, "", writeJoin(next, true));
    },
    [join, inbox.clear],
  );

  const leave = useCallback(() => {
    setJoined(false);
    history.replaceState(null, "", writeJoin(join, false));
  }, [join]);

  return (
    <Shell page="client">
      {joined ? <Joined join={join} inbox={inbox} onLeave={leave} /> : <JoinForm first={join} state={inbox.state} onJoin={enter} />}
      {(joined || inbox.notifications.length > 0) && <Notifications inbox={inbox} />}
    </Shell>
  );
}
