// How often the status is told (rule 27): as often as that master wants which wants it most often.
const [LEAST, MOST, WANTED_FOR] = [5, 60, 15_000]; // seconds between two statuses; milliseconds for which a master's word counts
export const STATUS_LOOK = 1000 * LEAST; // milliseconds between two looks at whether it is time

export class Pace {
  constructor() {
    this.wants = new Map(); // seconds -> when a master wanted that last
    this.looks = this.left = 1; // of an interval; until the next status
  }
  // `alive` of a master that is there; without a number it wants it as often as ever.
  wanted(every = LEAST) {
    if (Number.isInteger(every) && every >= LEAST && every <= MOST) this.wants.set(every, performance.now());
  }
  // A master is there that knows nobody; all others hear that, too, so what follows is as after a change.
  hurry() { this.left = 1; this.looks = 0; }
  every() {
    for (const [every, at] of this.wants) if (performance.now() - at > WANTED_FOR) this.wants.delete(every);
    return this.wants.size ? Math.min(...this.wants.keys()) : LEAST;
  }
  // Is it time? After a change at any moment within the new interval: thousands hear of it at the same moment.
  look() {
    const looks = Math.floor(this.every() / LEAST);
    const any = () => 1 + Math.floor(looks * Math.random());
    if (this.left > looks) this.left = any();
    if (--this.left > 0) return false;
    this.left = looks <= this.looks ? looks : any();
    this.looks = looks;
    return true;
  }
}
