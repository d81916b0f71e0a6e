using Microsoft.AspNetCore.Http.HttpResults;

namespace Platform.ServiceDefaults.Problems;

/// <summary>Collects invalid fields for one 400 problem with <c>errors: {field: [rules]}</c>. Fields are named as in the JSON: <c>products[2].price</c>.</summary>
public sealed class ValidationErrors
{
    private readonly Dictionary<string, List<string>> _errors = new(StringComparer.Ordinal);

    /// <summary>Whether there are any errors.</summary>
    public bool Any => _errors.Count > 0;

    /// <summary>Adds a violated rule, worded to follow the field's name: "must be between 1 and 100".</summary>
    public ValidationErrors Add(string field, string rule)
    {
        if (!_errors.TryGetValue(field, out var rules))
        {
            _errors[field] = rules = [];
        }

        if (!rules.Contains(rule, StringComparer.Ordinal))
        {
            rules.Add(rule);
        }

        return this;
    }

    /// <summary>The fields and their violated rules.</summary>
    public IDictionary<string, string[]> ToDictionary() => _errors.ToDictionary(pair => pair.Key, pair => pair.Value.ToArray(), StringComparer.Ordinal);

    /// <summary>The 400 problem that lists them all.</summary>
    public ValidationProblem ToResult() => TypedResults.ValidationProblem(
        ToDictionary(),
        detail: string.Join("; ", _errors.SelectMany(pair => pair.Value.Select(rule => $"{pair.Key} {rule}"))) + ".",
        title: "The request is not valid.",
        type: Problem.TypeOf(StatusCodes.Status400BadRequest),
        extensions: Problem.Extensions());
}
