using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.Http.Resilience;

[OptionsValidator]
internal sealed partial class HttpStandardResilienceOptionsValidator : IValidateOptions<HttpStandardResilienceOptions>;

/// <summary>The rules between the options: each of them would make one of the strategies pointless.</summary>
internal sealed class HttpStandardResilienceOptionsCrossValidator : IValidateOptions<HttpStandardResilienceOptions>
{
    public ValidateOptionsResult Validate(string? name, HttpStandardResilienceOptions options)
    {
        var total = options.TotalRequestTimeout?.Timeout;
        var attempt = options.AttemptTimeout?.Timeout;
        var sampling = options.CircuitBreaker?.SamplingDuration;
        var errors = new ValidateOptionsResultBuilder();

        if (attempt > total)
        {
            errors.AddError(
                $"The total request timeout ({total}) must not be shorter than the attempt timeout ({attempt}).",
                nameof(HttpStandardResilienceOptions.TotalRequestTimeout));
        }

        if (sampling < attempt * 2)
        {
            errors.AddError(
                $"The circuit breaker's sampling duration ({sampling}) must be at least twice the attempt timeout ({attempt}).",
                nameof(HttpStandardResilienceOptions.CircuitBreaker));
        }

        return errors.Build();
    }
}
