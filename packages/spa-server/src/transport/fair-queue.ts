/** What waits, by whom it is from. */
export interface FairQueue<Item> {
  readonly size: number;
  /** Puts `item` behind what the same source has waiting. A source that has nothing waiting comes first. */
  add(source: string, item: Item): void;
  /** Takes the next: one of each source in turn, those that were not served yet before the others, the newest first. */
  next(): Item | null;
  /** Takes the oldest item of the source whose turn is furthest away. */
  evict(): Item | null;
}

/** A source with what it has waiting, between its neighbours. */
interface Place<Item> {
  readonly source: string;
  readonly items: Item[];
  before: Place<Item> | null;
  after: Place<Item> | null;
}

/** An empty queue. All that it does takes the same time, however many wait. */
export function createFairQueue<Item>(): FairQueue<Item> {
  const places = new Map<string, Place<Item>>();
  let front: Place<Item> | null = null;
  let back: Place<Item> | null = null;
  let size = 0;

  const unlink = (place: Place<Item>): void => {
    if (place.before === null) front = place.after;
    else place.before.after = place.after;
    if (place.after === null) back = place.before;
    else place.after.before = place.before;
    place.before = null;
    place.after = null;
  };
  const linkFront = (place: Place<Item>): void => {
    place.after = front;
    if (front === null) back = place;
    else front.before = place;
    front = place;
  };
  const linkBack = (place: Place<Item>): void => {
    place.before = back;
    if (back === null) front = place;
    else back.after = place;
    back = place;
  };
  const takeFrom = (place: Place<Item> | null): Item | null => {
    const item = place?.items.shift();
    if (place === null || item === undefined) return null;
    size -= 1;
    unlink(place);
    if (place.items.length === 0) places.delete(place.source);
    else linkBack(place);
    return item;
  };

  return {
    get size() {
      return size;
    },
    add: (source, item) => {
      size += 1;
      const known = places.get(source);
      if (known !== undefined) {
        known.items.push(item);
        return;
      }
      const place: Place<Item> = { source, items: [item], before: null, after: null };
      places.set(source, place);
      linkFront(place);
    },
    next: () => takeFrom(front),
    evict: () => takeFrom(back),
  };
}
