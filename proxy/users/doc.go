// Package users knows who may log in here.
package users
