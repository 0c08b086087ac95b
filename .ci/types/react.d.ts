// What react.js has of React: an app brings its own.
export function useEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void
export function useRef<T>(initial: T): { current: T }
export function useState<T>(initial: T): [T, (next: T) => void]
