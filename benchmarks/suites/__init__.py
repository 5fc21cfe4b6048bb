"""The asv suites.

asv imports this folder as the package `suites`, without the folder above it on the path: its modules
import from `suites` and from what is installed alone. The programs in the folder above import
`suites.common`.
"""
