package supervisor

import "path/filepath"

// Trusted reports what others than the administrator could change: the file, or a
// folder on the way to it. On Windows it is not known.
func Trusted(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, p := range []string{path, real} {
		for {
			if err := trusted(p); err != nil {
				return err
			}
			if p == filepath.Dir(p) {
				break
			}
			p = filepath.Dir(p)
		}
	}
	return nil
}
