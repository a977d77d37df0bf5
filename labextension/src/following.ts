/** Asking for one thing again and again while it is shown. */

import { Poll } from '@lumino/polling';
import { useEffect, useRef, useState } from 'react';

import { ApiError } from './api';

export interface IFollowed<T> {
  value: T | null;
  problem: ApiError | null;
}

/**
 * What `ask` answers, asked again every so many milliseconds while the component is there.
 *
 * @param stamp Asked again at once when it changes.
 */
export function useFollowed<T>(
  ask: () => Promise<T>,
  stamp: string,
  milliseconds: number,
  isSeen: () => boolean
): IFollowed<T> {
  const look = useRef(isSeen);
  look.current = isSeen;
  const [known, setKnown] = useState<IFollowed<T>>({
    value: null,
    problem: null
  });
  useEffect(() => {
    let isThere = true;
    const poll = new Poll({
      name: 'sm-magics:followed',
      factory: async () => {
        try {
          const value = await ask();
          if (isThere) {
            setKnown({ value, problem: null });
          }
        } catch (reason) {
          if (isThere) {
            const problem = ApiError.of(reason);
            setKnown(former => ({ value: former.value, problem }));
          }
          throw reason;
        }
      },
      frequency: { interval: milliseconds, backoff: true, max: 60_000 },
      standby: () => (look.current() ? 'when-hidden' : true) as Poll.Standby
    });
    return () => {
      isThere = false;
      poll.dispose();
    };
  }, [stamp, milliseconds]);
  return known;
}
