/** A text in which places in files that cells have written lead to those cells. */

import React, { createContext, useContext } from 'react';

import { framesIn, INamed } from './tracebacks';

export const TO_CELL = 'Go to the cell that wrote this line';

/** Goes to the cell that wrote a line; null where no notebook is known that has it. */
export const Jump = createContext<((place: INamed) => void) | null>(null);

export function Linked({ text }: { text: string }): JSX.Element {
  const jump = useContext(Jump);
  if (!jump) {
    return <>{text}</>;
  }
  const parts: React.ReactNode[] = [];
  let end = 0;
  for (const place of framesIn(text)) {
    parts.push(
      text.slice(end, place.start),
      <a
        key={place.start}
        className="jp-SmMagics-frame"
        role="link"
        tabIndex={0}
        title={TO_CELL}
        onClick={() => jump(place)}
        onKeyDown={event => event.key === 'Enter' && jump(place)}
      >
        {text.slice(place.start, place.end)}
      </a>
    );
    end = place.end;
  }
  return (
    <>
      {parts}
      {text.slice(end)}
    </>
  );
}
