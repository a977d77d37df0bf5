import { useEffect, useReducer } from 'react';

import type { Model } from './model';

/** Drawn again whenever the model has changed. */
export function useModel(model: Model): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    model.changed.connect(redraw);
    return () => void model.changed.disconnect(redraw);
  }, [model]);
}
