namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A dependency that this request needs is unavailable. The caller gets a 503 problem with <c>Retry-After</c>, and <c>X-Should-Retry: false</c> because the call was already
/// retried here.
/// </summary>
public sealed class DependencyUnavailableException(string dependency, Exception? inner, TimeSpan? retryAfter = null)
    : Exception($"{dependency} is unavailable.", inner)
{
    /// <summary>The dependency's name, such as <c>template-registry</c>.</summary>
    public string Dependency { get; } = dependency;

    /// <summary>When to try again; 5 s by default.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter ?? TimeSpan.FromSeconds(5);
}
