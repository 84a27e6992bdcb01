package demo

import (
	"errors"
	"io/fs"
	"os"

	"github.com/joho/godotenv"
)

// Getenv returns a lookup for [Load]: the real environment, and for what it does
// not set the file. There need not be a file.
// Any error is a [*SettingError].
func Getenv(file string) (func(string) string, error) {
	vars, err := godotenv.Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The parser's error quotes the line, which may have a secret in it.
		return nil, &SettingError{Setting{Name: file}, errors.New("cannot be read as lines of NAME=value")}
	}
	return func(name string) string {
		if v, ok := os.LookupEnv(name); ok {
			return v
		}
		return vars[name]
	}, nil
}
