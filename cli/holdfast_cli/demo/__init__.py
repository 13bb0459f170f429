"""Incidents, played in an AWS account on this machine and watched from outside."""
