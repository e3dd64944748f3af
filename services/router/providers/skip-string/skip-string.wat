;; Skips what stands within a JSON string (RFC 8259, section 7), 64 bytes a step. `skip-string.ts` says how it is used;
;; `npm run generate` assembles it into `wasm.ts`.
;;
;; Memory: a table of 256 bytes, 16 bytes of constants, then the window into which the bytes to look at are copied. A step
;; reads up to 63 bytes beyond what it was asked to look at and never acts on them, so the window must end that much before
;; the memory does.
(module
  (memory (export "memory") 1 1)
  (global (export "window") i32 (i32.const 272))

  ;; By the byte after a backslash: length of the escape, backslash included; 0 when JSON has none such.
  (data (i32.const 0x22) "\02") ;; "
  (data (i32.const 0x2f) "\02") ;; /
  (data (i32.const 0x5c) "\02") ;; \
  (data (i32.const 0x62) "\02") ;; b
  (data (i32.const 0x66) "\02") ;; f
  (data (i32.const 0x6e) "\02") ;; n
  (data (i32.const 0x72) "\02") ;; r
  (data (i32.const 0x74) "\02\06") ;; t, u

  ;; What a step compares with. Loaded before the loop, for V8 makes a constant vector anew in each turn: with constants a
  ;; step took two to three times as long.
  (data (i32.const 256) "\02\20\5c")

  ;; Returns the offset of the first byte from `i` on that is neither plain nor part of an escape of JSON: the closing quote, a
  ;; control character, or the backslash of an escape that JSON has not or that does not end before `to`; `to` if there is none.
  ;; Offsets are those of the memory. `i` must not stand within an escape.
  (func (export "skip") (param $i i32) (param $to i32) (result i32)
    (local $two v128)
    (local $space v128)
    (local $backslash v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local $found i64)
    (local $at i32)
    (local $length i32)
    (local.set $two (v128.load8_splat (i32.const 256)))
    (local.set $space (v128.load8_splat (i32.const 257)))
    (local.set $backslash (v128.load8_splat (i32.const 258)))
    (loop $step
      (if (i32.ge_u (local.get $i) (local.get $to)) (then (return (local.get $to))))

      ;; XOR 0x02 takes the quote (0x22) to 0x20 and leaves the control characters below it: one comparison finds both.
      (local.set $a (v128.load align=1 (local.get $i)))
      (local.set $a
        (v128.or
          (i8x16.le_u (v128.xor (local.get $a) (local.get $two)) (local.get $space))
          (i8x16.eq (local.get $a) (local.get $backslash))))
      (local.set $b (v128.load offset=16 align=1 (local.get $i)))
      (local.set $b
        (v128.or
          (i8x16.le_u (v128.xor (local.get $b) (local.get $two)) (local.get $space))
          (i8x16.eq (local.get $b) (local.get $backslash))))
      (local.set $c (v128.load offset=32 align=1 (local.get $i)))
      (local.set $c
        (v128.or
          (i8x16.le_u (v128.xor (local.get $c) (local.get $two)) (local.get $space))
          (i8x16.eq (local.get $c) (local.get $backslash))))
      (local.set $d (v128.load offset=48 align=1 (local.get $i)))
      (local.set $d
        (v128.or
          (i8x16.le_u (v128.xor (local.get $d) (local.get $two)) (local.get $space))
          (i8x16.eq (local.get $d) (local.get $backslash))))
      (if (i32.eqz
            (v128.any_true
              (v128.or (v128.or (local.get $a) (local.get $b)) (v128.or (local.get $c) (local.get $d)))))
        (then
          (local.set $i (i32.add (local.get $i) (i32.const 64)))
          (br $step)))

      ;; One bit for each byte found.
      (local.set $found
        (i64.or
          (i64.or
            (i64.extend_i32_u (i8x16.bitmask (local.get $a)))
            (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $b))) (i64.const 16)))
          (i64.or
            (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $c))) (i64.const 32))
            (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $d))) (i64.const 48)))))
      (loop $one
        (local.set $at (i32.add (local.get $i) (i32.wrap_i64 (i64.ctz (local.get $found)))))
        (if (i32.ge_u (local.get $at) (local.get $to)) (then (return (local.get $to))))
        (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 0x5c)) (then (return (local.get $at))))
        (local.set $length (i32.load8_u (i32.load8_u offset=1 (local.get $at))))
        (if (i32.eqz (local.get $length)) (then (return (local.get $at))))
        (if (i32.gt_u (i32.add (local.get $at) (local.get $length)) (local.get $to)) (then (return (local.get $at))))
        (if (i32.eq (local.get $length) (i32.const 6))
          (then (if (i32.eqz (call $areHex (i32.add (local.get $at) (i32.const 2)))) (then (return (local.get $at))))))
        ;; The byte after a backslash does not count by itself.
        (local.set $found (i64.and (local.get $found) (i64.shl (i64.const -4) (i64.ctz (local.get $found)))))
        (br_if $one (i64.ne (local.get $found) (i64.const 0))))

      ;; The last escape may reach into the next step's bytes.
      (local.set $at (i32.add (local.get $at) (local.get $length)))
      (local.set $i (i32.add (local.get $i) (i32.const 64)))
      (if (i32.gt_u (local.get $at) (local.get $i)) (then (local.set $i (local.get $at))))
      (br $step))
    (unreachable))

  ;; Whether the four bytes from `i` on are hexadecimal digits.
  (func $areHex (param $i i32) (result i32)
    (local $bytes v128)
    (local.set $bytes (v128.load32_zero align=1 (local.get $i)))
    (i32.eq
      (i32.const 0xf)
      (i32.and
        (i32.const 0xf)
        (i8x16.bitmask
          (v128.or
            (i8x16.lt_u
              (i8x16.sub (local.get $bytes) (i8x16.splat (i32.const 0x30)))
              (i8x16.splat (i32.const 10)))
            (i8x16.lt_u
              (i8x16.sub (v128.or (local.get $bytes) (i8x16.splat (i32.const 0x20))) (i8x16.splat (i32.const 0x61)))
              (i8x16.splat (i32.const 6)))))))))
