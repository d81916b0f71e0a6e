using System.ComponentModel.DataAnnotations;

namespace Platform.Backend.Templates;

/// <summary>How Backend keeps what the registry said.</summary>
internal sealed class TemplateOptions
{
    /// <summary>How long an answer counts as fresh and is given again without asking. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")]
    public TimeSpan FreshFor { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long to wait for the registry while an older answer is at hand. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long to wait for the registry while there is nothing else to answer. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan Deadline { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the older answers are given without asking after <see cref="Patience"/> was waited for nothing. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan AskAgainAfter { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How often the whole catalog is fetched although nobody asks, so that it is at hand when the registry goes down. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")]
    public TimeSpan RefreshEvery { get; set; } = TimeSpan.FromSeconds(60);
}
