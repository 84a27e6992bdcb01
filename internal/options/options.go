// Package options checks and completes the Options that constructors take: a
// field that is zero means its default, and no field may be negative.
package options

import (
	"fmt"
	"time"
)

// A Number is the type of a field that is counted or measured.
type Number interface{ int | int64 | time.Duration }

// OrDefault sets a field that is zero to its default.
func OrDefault[T comparable](field *T, def T) {
	if *field == *new(T) {
		*field = def
	}
}

// NonNegative returns an error with the field's name if its value is negative.
// Several checks make one with cmp.Or, which returns the first error:
//
//	return cmp.Or(
//		options.AtLeast("SessionTTL", o.SessionTTL, time.Second),
//		options.NonNegative("MaxCalls", o.MaxCalls),
//	)
func NonNegative[T Number](field string, value T) error {
	if value < 0 {
		return fmt.Errorf("Options.%s is negative", field)
	}
	return nil
}

// AtLeast returns an error with the field's name if its value is less than
// least. Zero passes: it means the default.
func AtLeast[T Number](field string, value, least T) error {
	if value == 0 || value >= least {
		return nil
	}
	if err := NonNegative(field, value); err != nil {
		return err
	}
	return fmt.Errorf("Options.%s is %v, under %v", field, value, least)
}
