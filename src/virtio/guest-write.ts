/** Told of each piece of guest RAM that a device has written: address in `core.ram`, and bytes. */
export type GuestWriteListener = (address: number, length: number) => void;
