/** The token that opens the room of this page, where it needs one. It is asked for when it is used: it is renewed. */
export class RoomToken {
  /** Null where there is none. */
  value;

  constructor(value) {
    this.value = value;
  }

  /** `path` with the token. */
  address(path) {
    return path + (this.value ? `?token=${encodeURIComponent(this.value)}` : '');
  }
}
