"""Preference elicitation: the policy of a front that a user likes best, found by asking them to compare pairs.

After Zintgraf et al. (2018), "Ordered preference elicitation strategies for supporting multi-objective decision
making", with a posterior of particles and utilities that need not be linear.
"""
